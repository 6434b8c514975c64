# SPDX-License-Identifier: Apache-2.0
# describe FOLDER: all there is to know about what is in it, as text. Sourced by both sides; $bb comes before the commands
# whose names busybox has no links for ("busybox", or nothing).
describe() {
	(
		cd "$1" || exit
		$bb find . ! -name . ! -type d ! -type l -print0 | $bb sort -z | $bb xargs -0 $bb stat -c '%n %f %u:%g %h %t:%T %s %Y'
		$bb find . ! -name . -type d -print0 | $bb sort -z | $bb xargs -0 $bb stat -c '%n %f %u:%g %Y'
		$bb find . -type l -print0 | $bb sort -z | $bb xargs -0 $bb stat -c '%N %f %u:%g %Y'
		$bb find . -type f -print0 | $bb sort -z | $bb xargs -0 $bb cat | $bb sha256sum
	)
}
