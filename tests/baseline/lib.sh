# SPDX-License-Identifier: Apache-2.0
# The exit counts that are never to change unnoticed, tests/baseline/exits or, with $counts, another file there: lines of a name and a
# number, or a name, a number, `within` and how far off it may be. Sourced by tests/nested scripts after tests/lib.sh; $guest_version says
# which kernel was counted, Debian's cloud kernel if it is not set.
#   note_boot NAME STATISTICS     notes the counts of a boot
#   note_rest NAME STATISTICS     likewise, but for the serial port's: the sum without them
#   note_scan NAME DOCUMENT       those of `lacuna bench pci`
#   note_faults NAME DOCUMENT     the page faults that KVM served meanwhile
#   gate NAME SECTION             passes if what was noted of SECTION is the baseline's
# Times are not in it. What was noted is kept in $LACUNA_SHARE, as a new baseline.

baseline=$top/tests/baseline/${counts:=exits}
noted=$LACUNA_SHARE/$counts
{
	sed '/^[^#]/d' "$baseline"
	echo "guest ${guest_version:-$(cat "$("$top/tools/guest-kernels" cloud)/version")}"
} >"$noted"

note_config() { # NAME STATISTICS
	jq -r --arg name "$1" '.exits.pci_config | to_entries[] | "\($name).pci_config.\(.key) \(.value)"' "$2" >>"$noted"
}

# A kernel that prints all of its log reads the port's status dozens of times more or less, as its lines happen to be cut. Of the rest there
# was one return more in one boot of twenty.
note_rest() {
	note_config "$@"
	jq -r --arg name "$1" '"\($name).but_serial \(.exits.total - .exits.pio.serial) within 2"' "$2" >>"$noted"
}

# Returns of a stock boot differ by one or two reads of the serial port's status, as the guest's lines happen to be cut.
note_boot() {
	jq -r --arg name "$1" '"\($name).total \(.exits.total) within 6"' "$2" >>"$noted"
	note_config "$@"
}

note_scan() {
	jq -r --arg name "$1" '.rows[] | select(has("accesses")) | "\($name).\(.scan).\(.mechanism).\(.pass)" as $name |
		"\($name).accesses \(.accesses)", "\($name).user_exits \(.user_exits)"' "$2" >>"$noted"
}

note_faults() {
	jq -r --arg name "$1" '.rows[] | select(.faults != null) | "\($name).\(.scan).\(.mechanism).\(.pass).faults \(.faults)"' "$2" >>"$noted"
}

gate() {
	local moved guest
	guest=$(grep -h '^guest ' "$baseline" "$noted" | uniq)
	moved=$(awk -v section="$2." '
		/^#/ || index($1, section) != 1 { next }
		NR == FNR { want[$1] = $2; within[$1] = $4 + 0; next }
		{
			have[$1]
			if (!($1 in want)) {
				print $1 ": " $2 ", which the baseline has not"
				next
			}
			off = $2 - want[$1]
			if (off > within[$1] || -off > within[$1])
				print $1 ": " want[$1] " -> " $2 (within[$1] ? " (" within[$1] " either way are allowed)" : "")
		}
		END {
			for (name in want)
				if (!(name in have))
					print name ": " want[name] " -> not counted any more"
		}' "$baseline" "$noted" | sort)
	if [ -z "$moved" ] && grep -q "^$2\." "$noted"; then
		ok "$1"
	else
		[ "$(wc -l <<<"$guest")" = 1 ] || moved+=$'\n'"The guest's kernel is another one, too: ${guest//$'\n'guest/ ->}."
		not_ok "$1" "${moved:-nothing was counted}" \
			"If that is meant: cp ${noted#"$top/"} ${baseline#"$top/"}, and say in the commit message why."
	fi
}
