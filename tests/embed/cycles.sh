#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A thousand lives of a VM leave nothing behind; see cycles.c. Fewer under a sanitizer, which finds a leak in one.
. "$(dirname "$0")/../lib.sh"

if [ ! -w /dev/kvm ]; then
	skip "cycles" "no access to /dev/kvm"
	finish
fi
cycles=1000
! grep -qE '__(asan|tsan)_init' "$BUILD/tests/embed/cycles" || cycles=210
GLIBC_TUNABLES=glibc.malloc.tcache_count=0 "$BUILD/tests/embed/cycles" "$BUILD/tests/guest" "$cycles"
