# SPDX-License-Identifier: Apache-2.0
# Every PCI function as lspci sees it, whole configuration space included, between two marks.
echo LSPCI-BEGIN
lspci -nvvxxxx
echo LSPCI-END
