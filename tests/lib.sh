# SPDX-License-Identifier: Apache-2.0
# What the shell tests share. A test script sources this, calls check/skip, and ends with `finish`; tests/run reads the
# TAP lines. $LACUNA is the program, $BUILD the build folder, $tmp a folder of the script's own, removed at its end.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$(realpath -m "${BUILD:-$top/build}")
LACUNA=${LACUNA:-$BUILD/lacuna}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/lacuna-test.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
tap_count=0
tap_failed=0

ok() { # NAME
	tap_count=$((tap_count + 1))
	echo "ok - $1"
}

not_ok() { # NAME [DETAIL...]
	tap_count=$((tap_count + 1))
	tap_failed=$((tap_failed + 1))
	echo "not ok - $1"
	shift
	[ $# -eq 0 ] || printf '%s\n' "$@" | sed 's/^/#   /'
}

skip() { # NAME REASON
	tap_count=$((tap_count + 1))
	echo "ok - $1 # SKIP $2"
}

finish() {
	echo "1..$tap_count"
	exit $((tap_failed > 0))
}

check() { # NAME COMMAND...: passes when the command succeeds; its output is the detail of a failure
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then
		ok "$name"
	else
		not_ok "$name" "failed: $*" "$out"
	fi
}

same() { # NAME EXPECTED ACTUAL
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected: $2" "found:    $3"; fi
}

same_set() { # NAME WANTED FOUND ADD REMOVE: one item a line; ADD and REMOVE say what to do about an item, written % in them
	local name=$1 missing extra item
	missing=$(comm -23 <(sort -u <<<"$2") <(sort -u <<<"$3"))
	extra=$(comm -13 <(sort -u <<<"$2") <(sort -u <<<"$3"))
	if [ -z "$missing$extra" ]; then
		ok "$name"
	else
		not_ok "$name" "$(
			while read -r item; do [ -z "$item" ] || echo "${4//%/"$item"}"; done <<<"$missing"
			while read -r item; do [ -z "$item" ] || echo "${5//%/"$item"}"; done <<<"$extra"
		)"
	fi
}

holds() { # NAME JQ-FILTER FILE: the filter is true of the JSON file
	local found=missing
	if jq -e "$2" "$3" >/dev/null 2>&1; then
		ok "$1"
	else
		[ ! -s "$3" ] || found=$(jq -c '[.exits, .end]' "$3" 2>&1)
		not_ok "$1" "not true: $2" "statistics: $found"
	fi
}

refused() { # NAME PATTERN COMMAND...: status 125, nothing on stdout, one line on stderr that PATTERN (grep -E) matches
	local name=$1 pattern=$2 status=0 lines
	shift 2
	timeout 20 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
	lines=$(wc -l <"$tmp/err")
	if [ "$status" = 125 ] && [ "$lines" = 1 ] && [ ! -s "$tmp/out" ] && grep -qE -- "$pattern" "$tmp/err"; then
		ok "$name"
	else
		not_ok "$name" "status $status (want 125), $lines lines (want one that matches '$pattern'):" \
			"$(head -c 2000 "$tmp/err")" "$(head -c 500 "$tmp/out")"
	fi
}

valid() { # FILE...: the schema of lacuna bench itself, then each file against it
	/usr/bin/python3 - "$top/docs/bench.schema.json" "$@" <<-'PYTHON'
		import json, sys
		from jsonschema import Draft202012Validator
		schema = json.load(open(sys.argv[1]))
		Draft202012Validator.check_schema(schema)
		wrong = [f"{name}: {'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for name in sys.argv[2:]
			for e in Draft202012Validator(schema).iter_errors(json.load(open(name)))]
		sys.exit("\n".join(wrong) or 0)
	PYTHON
}

gone() { # PID...: none of these runs; a dead one that nobody has reaped yet counts as gone
	local p
	for p in "$@"; do
		[ ! -e "/proc/$p" ] || grep -q '^State:.Z' "/proc/$p/status" || return 1
	done
}

# hold_net PID: keeps the network namespace of a process, if that is another one than ours, for left_in_net to look in after the process
# has ended, when all that the process had there has to be gone. It goes with the next call, or the script.
hold_net() {
	[ -z "${net_fd:-}" ] || exec {net_fd}<&-
	net_fd='' net_name=$(readlink "/proc/$1/ns/net") || true
	[ -z "$net_name" ] || [ "$net_name" = "$(readlink /proc/self/ns/net)" ] || exec {net_fd}<"/proc/$1/ns/net"
}

left_in_net() { # threads, mounts, taps, servers and connections
	local inode=${net_name//[^0-9]/}
	find /proc -maxdepth 5 -path '/proc/[0-9]*/task/*/ns/net' -lname "net:\[$inode\]" 2>/dev/null
	grep -F "net:[$inode]" /proc/self/mountinfo
	nsenter --net="/proc/self/fd/$net_fd" cat /proc/net/dev | grep -E '^ *(io|tap)[0-9]'
	# that of a killed process waits for a while after its end (TIME_WAIT, FIN_WAIT), owned by nobody: its inode is 0
	nsenter --net="/proc/self/fd/$net_fd" cat /proc/net/tcp /proc/net/tcp6 | awk '$10 ~ /^[1-9]/ { print "socket", $2, $3, $4 }'
}

# interrupted SIGNAL STATUS OPTION...: ends `lacuna bench OPTION...` while a program that it runs, and which has written its own
# number and those of its children to $tmp/pids as one line, waits.
interrupted() {
	local pid pids pids_fd status=0 signal=$1
	[ -p "$tmp/pids" ] || mkfifo "$tmp/pids"
	exec {pids_fd}<>"$tmp/pids" # or a read would wait for a writer without end
	env --default-signal="$signal" "$LACUNA" bench "${@:3}" --save "$tmp/saved.json" >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	read -r -t 100 -u "$pids_fd" -a pids
	exec {pids_fd}>&-
	hold_net "$pid"
	kill "-$signal" "$pid"
	wait "$pid" || status=$?
	same "SIG$signal: status" "$2" "$status"
	check "SIG$signal: the program had begun" test "${#pids[@]}" -gt 0
	check "SIG$signal: no process is left" gone "${pids[@]}"
	same "SIG$signal: no file is left" "" "$(cd "$tmp" && ls -d saved* 2>/dev/null)"
	same "SIG$signal: no tracing instance is left" "" "$(ls -d /sys/kernel/tracing/instances/"lacuna-$pid" 2>/dev/null)"
	[ -z "$net_fd" ] || same "SIG$signal: nothing is left in its network" "" "$(left_in_net)"
	same "SIG$signal: nothing is said" "" "$(cat "$tmp/out" "$tmp/err")"
}
