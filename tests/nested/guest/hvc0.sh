# SPDX-License-Identifier: Apache-2.0
# The console is hvc0 and nothing else. Its driver is a module, so this is where the guest is first heard; then it tells each
# size that the window gets until the third.
. /tests/lib.sh
load virtio_console
exec </dev/hvc0 >/dev/hvc0 2>&1
stty raw -echo
echo LACUNA-GUEST-READY
say console "$(cat /sys/class/tty/console/active)"
say kernel-too "$(uname -r)"
say typed "$(head -c 5)"
last=
for n in 1 2 3; do
	while [ "$(stty size)" = "$last" ]; do usleep 50000; done
	last=$(stty size)
	say "size-$n" "$last"
done
