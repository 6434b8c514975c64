#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The power button, from lacuna_vm_power_button() through the GED's interrupt and the DSDT to an input event in the guest.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
kernel=$("$top/tools/guest-kernels" cloud)/vmlinuz
initrd=$("$top/tools/initrd" button)
console=$tmp/console
status=0
"$BUILD/tests/nested/power-button" "$kernel" "$initrd" "console=ttyS0 quiet lacuna.test=power-button" \
	"waiting for the power button" </dev/null >"$console" 2>&1 || status=$?
tr -d '\r' <"$console" >"$console.clean"
mv "$console.clean" "$console"
same "pressed, and the guest powered itself off" 0 "$status"
same "the GED's interrupt came once" "0 1" "$(said ged-before) $(said ged-after)"
same "an input event of type EV_KEY, KEY_POWER, down" "0001 0074 0001" "$(said event)"
finish
