#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A guest's reboot ends the run, and so does a run that takes too long; Debian's generic kernel boots too, and ends with
# an exit code of the guest's own.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files
boot reboot reboot --rng
ends "reboot" 0 reset

limit=8s
boot slow hold
limit=180s
same "timeout: status" 124 "$status"
holds "timeout: the statistics say so" '.end.reason == "timeout"' "$stats"

flavour=generic
guest_files
truncate -s 4M "$tmp/disk.img"
boot generic exitcode --disk "path=$tmp/disk.img" --rng
ends "Debian's generic kernel boots, and its guest's exit code is the status" 42 exit-code
holds "generic kernel: the statistics have the code" '.end.code == 42' "$stats"
holds "generic kernel: ECAM reads and absent functions, no exit" \
	'.exits.pci_config | .ecam_read == 0 and .absent == 0' "$stats"
finish
