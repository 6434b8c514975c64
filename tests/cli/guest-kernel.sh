#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The patch of firmware/linux on the kernels that Debian has. That it builds and works is what tests/nested/pv-bit.sh shows.
. "$(dirname "$0")/../lib.sh"

for series in 6.1 6.12; do
	name="linux-source-$series: the patch applies without fuzz, checkpatch is content"
	if [ -z "$(apt-cache show "linux-source-$series" 2>/dev/null)" ]; then
		skip "$name" "this machine's apt knows no linux-source-$series"
	else
		check "$name" "$top/tools/guest-kernel" check "$series"
	fi
done
same "the patch has the bit of include/abi/pvbit.h" \
	"$(sed -n 's/^#define KVM_FEATURE_PCI_GO_MMCONFIG[ \t]\+//p' "$top/include/abi/pvbit.h")" \
	"$(sed -n 's/^+#define KVM_FEATURE_PCI_GO_MMCONFIG[ \t]\+//p' "$top"/firmware/linux/0001-*.patch)"
status=0
"$top/tools/guest-kernel" 2.6 >"$tmp/out" 2>&1 || status=$?
same "a kernel that there is no recipe for" "2 usage" "$status $(cut -d: -f1 "$tmp/out")"
finish
