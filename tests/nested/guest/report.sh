# SPDX-License-Identifier: Apache-2.0
# What `make run` shows from inside the guest.
. /tests/lib.sh
uname -a
lspci | while read -r line; do
	say function "$line"
done
say disk "$(blockdev --getsize64 /dev/vda) bytes, $(cat /sys/block/vda/serial)"
say entropy "$(cat /sys/class/misc/hw_random/rng_current)"
