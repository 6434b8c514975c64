# SPDX-License-Identifier: Apache-2.0
# Boots the stock guest under lacuna; sourced by the nested tests after tests/lib.sh.
# boot NAME SCENARIO OPTION... runs scenario tests/nested/guest/SCENARIO.sh. Before it, $flavour chooses the kernel,
# $words adds to the guest's command line, $limit is lacuna's --timeout. After it: $status, $console, $stats (files named after NAME).

flavour=cloud
words=
limit=180s
marker=LACUNA-GUEST-READY

guest_files() { # sets kernel and initrd; with "lspci" the archive holds pciutils too
	kernel=$("$top/tools/guest-kernels" "$flavour")/vmlinuz
	initrd=$("$top/tools/initrd" "$flavour")
	if [ "${1:-}" = lspci ]; then
		cat "$initrd" "$("$top/tools/initrd" lspci)" >"$tmp/initrd"
		initrd=$tmp/initrd
	fi
}

guest_command() { # NAME SCENARIO OPTION...: sets the array command
	console=$tmp/$1.console stats=$tmp/$1.json
	command=("$LACUNA" run --kernel "$kernel" --initrd "$initrd" --cmdline "console=ttyS0 quiet lacuna.test=$2 $words"
		--marker "$marker" --timeout "$limit" --stats-file "$stats" "${@:3}")
}

boot() { # NAME SCENARIO OPTION...
	guest_command "$@"
	rm -f "$stats"
	status=0
	"${command[@]}" >"$console" 2>&1 </dev/null || status=$?
	tr -d '\r' <"$console" >"$console.clean"
	mv "$console.clean" "$console"
}

said() { # NAME: the value the guest printed as "guest NAME VALUE"
	sed -n "s/^guest $1 //p" "$console" | tail -n 1
}

ends() { # NAME STATUS REASON: how the last boot ended; on failure the console's end is shown
	local reason
	reason=$(jq -r .end.reason "$stats" 2>/dev/null)
	if [ "$status" = "$2" ] && [ "$reason" = "$3" ] && grep -q "^$marker" "$console"; then
		ok "$1"
	else
		not_ok "$1" "status $status (want $2), end '$reason' (want $3), console ends:" "$(tail -n 15 "$console")"
	fi
}
