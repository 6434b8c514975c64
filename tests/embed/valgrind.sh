#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# VMs in every way that a life can go (cycles.c), under valgrind: no error and no leak of the library's. No suppressions:
# valgrind does not know two of KVM's ioctls, which it says, but they take no pointer that it would have to know.
. "$(dirname "$0")/../lib.sh"

prog=$BUILD/tests/embed/cycles
if [ ! -w /dev/kvm ]; then
	skip "valgrind" "no access to /dev/kvm"
	finish
fi
if grep -qE '__(asan|tsan)_init' "$prog"; then
	skip "valgrind" "a sanitizer looks already"
	finish
fi
status=0
# --fair-sched: a guest that runs in one thread must not keep the others out
valgrind --fair-sched=yes --leak-check=full --show-leak-kinds=definite,indirect,possible \
	--errors-for-leak-kinds=definite,indirect,possible --error-exitcode=9 --log-file="$tmp/log" \
	"$prog" "$BUILD/tests/guest" 14 >"$tmp/out" || status=$?
if grep -q '^1\.\.5$' "$tmp/out"; then
	ok "the VMs lived"
else
	not_ok "the VMs lived" "status $status" "$(cat "$tmp/out")" "$(tail -n 40 "$tmp/log")"
fi
if [ "$status" = 0 ] && grep -q 'ERROR SUMMARY: 0 errors' "$tmp/log"; then
	ok "no errors, no leaks"
else
	not_ok "no errors, no leaks" "status $status" "$(grep -v Warning "$tmp/log" | head -n 100)"
fi
finish
