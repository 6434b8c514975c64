# SPDX-License-Identifier: Apache-2.0
# Asks the firmware for a restart.
reboot -f
