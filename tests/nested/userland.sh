#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Debian's own programs run in the stock guest, from the image of tools/guest-userland, and the further drivers load.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files userland
truncate -s 4M "$tmp/disk.img"

boot userland userland --disk "path=$tmp/disk.img" --rng
ends "the guest ends" 0 poweroff
same "fio is the host's" "$(fio --version)" "$(said fio)"
same "iperf3 is the host's" "$(iperf3 --version | head -n 1)" "$(said iperf3)"
same "lspci finds the functions" 4 "$(said functions)"
same "what the guest mounts later is seen in there" kept "$(said mounted)"
same "every driver loads" "" "$(said load-failed)"
same "the drivers are there" 6 "$(said drivers)"
finish
