#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every call that takes something from the host fails once while a VM is made and started; see faults.c.
. "$(dirname "$0")/../lib.sh"

if [ ! -w /dev/kvm ]; then
	skip "faults" "no access to /dev/kvm"
	finish
fi
"$BUILD/tests/embed/faults" "$BUILD/tests/guest"
