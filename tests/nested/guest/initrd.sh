# SPDX-License-Identifier: Apache-2.0
# What became of the directories that this guest was given as initrds.
. /tests/lib.sh
. /tests/describe.sh
bb=busybox
LC_ALL=C
echo TREE-BEGIN
describe /tree
echo TREE-END
say root "$($bb stat -c '%a %u:%g' /)"
say linked "$(cd /tree/links && $bb stat -c %i 1 b/2 a/3 | $bb uniq | wc -l)"
say fifos "$(cd /tree/links && $bb stat -c %i fifo fifo2 | $bb uniq | wc -l)"
say null "$(echo lost >/tree/dev/null && head -c 4 /tree/dev/zero | od -An -tx1)"
say script "$(/tree/bin/script)"
say overlay "$(cat /overlay/1 /overlay/2 /overlay/3 | tr '\n' ' ')"
say oldest "$(cat /base)"
