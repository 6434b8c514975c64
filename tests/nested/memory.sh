#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# 128 MiB, and 5 GiB that reach beyond the 32-bit hole. The host backs only what the guest touches.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files

boot small memory --memory 128M --rng
ends "128 MiB: boots" 0 poweroff
check "128 MiB: the guest has less than that, and not much less" \
	test "$(said total-kib)" -gt $((80 * 1024)) -a "$(said total-kib)" -lt $((128 * 1024))
same "128 MiB: what is written stays" yes "$(said kept)"
same "128 MiB: memory ends where it should" 07ffffff "$(said last-range | cut -d- -f2)"
holds "128 MiB: the statistics agree" '.machine.memory_bytes == 134217728' "$stats"

boot large memory --memory 5G --rng
ends "5 GiB: boots" 0 poweroff
check "5 GiB: the guest has nearly all of it" test "$(said total-kib)" -gt $((4700 * 1024))
same "5 GiB: the last 2 GiB are above 4 GiB" 100000000-17fffffff "$(said last-range)"
same "5 GiB: what is written stays" yes "$(said kept)"
check "5 GiB: pages above 4 GiB were used" test "$(said used-above-4g)" -gt 4000
finish
