# SPDX-License-Identifier: Apache-2.0
# The boot that tools/bench-boot measures: loads the driver of the network, too, and prints the kernel's log where its phases are
# asked for (lacuna bench boot --initcalls log).
. /tests/lib.sh
load virtio_net
case $(cat /proc/cmdline) in *initcall_debug*) dmesg ;; esac
