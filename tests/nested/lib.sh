# SPDX-License-Identifier: Apache-2.0
# Boots the stock guest under lacuna; sourced by the nested tests after tests/lib.sh.
# boot NAME SCENARIO OPTION... runs scenario tests/nested/guest/SCENARIO.sh. Before it, $flavour chooses the kernel,
# $words adds to the guest's command line, $limit is lacuna's --timeout. After it: $status, $console, $stats (files named after NAME).

flavour=cloud
words=
limit=180s
marker=LACUNA-GUEST-READY
userland=()

# Sets kernel and initrd. The flavour "small" is the kernel of tools/guest-kernel, patched; use_kernel changes that.
# "lspci": the archive holds pciutils too; "cpuid": tests/nested/guest/cpuid.c; "devices": further drivers, for `load` in the guest;
# "userland": those, and each boot has one more disk, with the programs that `userland` runs in the guest.
guest_files() {
	local part archives
	case $flavour in
	small) use_kernel patched ;;
	*) kernel=$("$top/tools/guest-kernels" "$flavour")/vmlinuz ;;
	esac
	archives=("$("$top/tools/initrd" "$flavour")")
	userland=()
	for part in "$@"; do
		case $part in
		lspci | cpuid) archives+=("$("$top/tools/initrd" "$part")") ;;
		devices) archives+=("$("$top/tools/initrd" "$flavour-devices")") ;;
		userland)
			archives+=("$("$top/tools/initrd" "$flavour-devices")")
			userland=(--disk "path=$("$top/tools/guest-userland"),readonly=on,serial=LACUNA-USERLAND")
			;;
		esac
	done
	initrd=${archives[0]}
	if [ ${#archives[@]} -gt 1 ]; then
		initrd=$tmp/initrd
		cat "${archives[@]}" >"$initrd"
	fi
}

use_kernel() { # type1|plain|patched
	kernel=$("$top/tools/guest-kernel" | sed -n "s/^guest-kernel: $1 //p")
}

# A disk whose first 4 KiB are unlike any other's: sets $disk, and $disk_sum as guests print it of what they have read there.
marked_disk() {
	disk=$tmp/disk.img
	truncate -s 4M "$disk"
	echo "lacuna" >>"$disk"
	truncate -s 8M "$disk"
	disk_sum=$(head -c 4096 "$disk" | sha256sum | cut -c1-16)
}

guest_command() { # NAME SCENARIO OPTION...: sets the array command
	console=$tmp/$1.console stats=$tmp/$1.json
	command=("$LACUNA" run --kernel "$kernel" --initrd "$initrd" --cmdline "console=ttyS0 quiet lacuna.test=$2 $words"
		--marker "$marker" --timeout "$limit" --stats-file "$stats" "${@:3}" "${userland[@]}")
}

boot() { # NAME SCENARIO OPTION...
	guest_command "$@"
	rm -f "$stats"
	status=0
	"${command[@]}" >"$console" 2>&1 </dev/null || status=$?
	tr -d '\r' <"$console" >"$console.clean"
	mv "$console.clean" "$console"
}

# The same in three parts, to meddle while the guest runs, whose console reads what `tell` says.
start() { # NAME SCENARIO OPTION...: sets $pid
	guest_command "$@"
	rm -f "$stats" "$tmp/input"
	mkfifo "$tmp/input"
	"${command[@]}" <>"$tmp/input" >"$console" 2>&1 &
	pid=$!
}

tell() { # LINE
	echo "$1" >"$tmp/input"
}

await() { # TEXT: waits until the console has shown it; false if the machine ends first
	while ! grep -aqF -- "$1" "$console"; do
		kill -0 "$pid" 2>/dev/null || grep -aqF -- "$1" "$console" || return
		sleep 0.2
	done
}

conclude() { # waits for the end
	status=0
	wait "$pid" || status=$?
	tr -d '\r' <"$console" >"$console.clean"
	mv "$console.clean" "$console"
}

said() { # NAME: the value the guest printed as "guest NAME VALUE"
	tr -d '\r' <"$console" | sed -n "s/^guest $1 //p" | tail -n 1
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
