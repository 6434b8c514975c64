# SPDX-License-Identifier: Apache-2.0
# Waits for the power button as systemd-logind does, on the input device, and says what came.
. /tests/lib.sh
ged_interrupts() {
	awk '/ACPI:Ged/ { n = 0; for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i; print n }' /proc/interrupts
}
dd if=/dev/input/event0 of=/tmp/event bs=24 count=1 2>/dev/null &
reader=$!
# shellcheck disable=SC3013  # busybox has -ef
until [ "/proc/$reader/fd/0" -ef /dev/input/event0 ]; do
	:
done
say ged-before "$(ged_interrupts)"
echo "waiting for the power button"
wait "$reader"
# struct input_event: time (16 bytes), type, code, value
say event "$(od -A n -j 16 -N 6 -t x2 /tmp/event | sed 's/^ *//')"
say ged-after "$(ged_interrupts)"
