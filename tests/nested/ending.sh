#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A guest's reboot ends the run, Debian's generic kernel boots too, and a run that takes too long is ended.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files
boot reboot reboot --rng
ends "reboot" 0 reset

boot slow hold --timeout 8
same "timeout: status" 124 "$status"
holds "timeout: the statistics say so" '.end.reason == "timeout"' "$stats"

flavour=generic
guest_files
truncate -s 4M "$tmp/disk.img"
boot generic boot --disk "path=$tmp/disk.img" --rng
ends "Debian's generic kernel boots" 0 poweroff
holds "generic kernel: ECAM reads and absent functions, no exit" \
	'.exits.pci_config | .ecam_read == 0 and .absent == 0' "$stats"
finish
