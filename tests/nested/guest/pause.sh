# SPDX-License-Identifier: Apache-2.0
# Writes a disk and reads it back past its cache, until the host says "end".
. /tests/lib.sh
dmesg -c >/dev/null
dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null
sum=$(sha256sum </tmp/data)
work() {
	rounds=0 differences=0
	until [ -e /tmp/end ]; do
		at=$((rounds % 4 * 32))
		dd if=/tmp/data of=/dev/vda bs=64k oflag=direct seek=$at 2>/dev/null
		[ "$(dd if=/dev/vda bs=64k count=32 iflag=direct skip=$at 2>/dev/null | sha256sum)" = "$sum" ] ||
			differences=$((differences + 1))
		rounds=$((rounds + 1))
	done
	say rounds "$rounds"
	say differences "$differences"
}
work &
echo "guest writing"
read -r _
touch /tmp/end
wait
say complaints "$(dmesg | grep -cE 'WARNING:|BUG:|lockup|stall|hung|error')"
dmesg | grep -E 'WARNING:|BUG:|lockup|stall|hung|error'
