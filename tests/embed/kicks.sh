#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A host that loses the signals which kick vCPUs; see kicks.c.
. "$(dirname "$0")/../lib.sh"

if [ ! -w /dev/kvm ]; then
	skip "kicks" "no access to /dev/kvm"
	finish
fi
timeout 60 "$BUILD/tests/embed/kicks" "$BUILD/tests/guest"
