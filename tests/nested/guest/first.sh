#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# As the first process itself (rdinit=/tests/first.sh): the time to the marker is the kernel's, not that of what init does.
/bin/echo LACUNA-GUEST-READY
/bin/poweroff -f
