# SPDX-License-Identifier: Apache-2.0
# Takes input from the serial port and gives output, both as bytes that nothing on the way may change.
. /tests/lib.sh
say uart "$(dmesg | sed -n 's/.*ttyS0 at I\/O 0x3f8.*is a \([0-9A-Z]*\).*/\1/p' | head -n 1)"
stty -F /dev/ttyS0 raw -echo
say serial ready
say serial-in "$(head -c 6000 /dev/ttyS0 | sha256sum | cut -d' ' -f1)"
echo OUTPUT-BEGIN
seq 1 4000 | cat
echo OUTPUT-END
say interrupts "$(sed -n 's/^ *[0-9]*: *\([0-9]*\) .*ttyS0.*/\1/p' /proc/interrupts)"
