#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The terminal on every way out of `lacuna run`; tests/cli/terminal.c plays the shell.
. "$(dirname "$0")/../lib.sh"

if [ ! -w /dev/kvm ]; then
	skip "terminal" "no access to /dev/kvm"
	finish
fi
"$BUILD/tests/cli/terminal" "$LACUNA" run --kernel "$BUILD/tests/guest/console.elf" --cmdline test=echo --timeout 60
