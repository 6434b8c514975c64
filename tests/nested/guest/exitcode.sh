# SPDX-License-Identifier: Apache-2.0
# Ends with exit code 42, written to port 0xF4. Debian's cloud kernel has no /dev/port, its generic one has.
[ -c /dev/port ] && printf '\052' | dd of=/dev/port bs=1 seek=244 conv=notrunc 2>/dev/null
