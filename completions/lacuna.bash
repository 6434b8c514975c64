# bash completion for lacuna(1)                                                            -*- shell-script -*-
# SPDX-License-Identifier: Apache-2.0
#
# Commands, options, and the words and keys of their values. tests/cli/completion.sh compares all of it with what the
# program says; a new option needs its name in _lacuna_options and, if it has a value, a row in _lacuna_value.
# shellcheck disable=SC2046 # lists of words

# What `lacuna help COMMAND` lists.
_lacuna_options() { # COMMAND, or bench-COMMAND
	local bench="format save against plot from"
	local machine="kernel kernel-unpack kernel-cache initrd cmdline add-cmdline cpus memory hugepages disk net balloon pmem rng vsock pci tables serial
		console marker timeout"
	case $1 in
	run) echo "$machine stats-file control verbose" ;;
	dump) echo "out $machine" ;;
	bench-boot) echo "kernel initrd cmdline disk net memory cpus marker until repeat count variants compare compare-cmd initcalls timeout program
		$bench" ;;
	bench-pci) echo "mechanism buses functions pass scan repeat $bench" ;;
	bench-io) echo "kernel initrd userland cmdline workloads monitors program repeat seconds idle memory direct folder $bench" ;;
	bench-start) echo "count kinds memory program vms repeat $bench" ;;
	esac
}

# What may follow an option, or a key of its list: words, keys (with '='), or @file, @folder, @interface.
_lacuna_value() { # OPTION[.KEY]
	local end="stdio off pty file= socket= fd= link="
	case ${form-}/$1 in # `form`: the caller's command, where it matters
	bench-boot/disk) echo @file && return ;;
	bench-boot/net) echo "tap=" && return ;;
	esac
	case $1 in
	kernel | initrd | userland | stats-file | control | program | save | against | from) echo @file ;;
	out | plot | folder) echo @folder ;;
	format) echo "table json csv" ;;
	until) echo "end marker" ;;
	initcalls) echo "none console log" ;;
	variants) echo "lacuna lacuna-1bus lacuna-256bus lacuna-type1 lacuna-trap-1bus lacuna-trap-256bus lacuna-unpack-guest all" ;;
	compare) echo "qemu-q35 qemu-q35-onebus qemu-microvm qemu-microvm-rtc qemu-microvm-onebus all none" ;;
	workloads) echo "randread-4k-qd1 randread-4k-qd32 read-128k-qd8 send receive all" ;;
	monitors) echo "lacuna qemu all" ;;
	kinds) echo "library exec floor floor-naive qemu qemu-kernel all none" ;;
	vms) echo none ;;
	mechanism) echo "type1 type1-coalesced ecam-trap ecam-4k ecam-mixed ecam-large all" ;;
	pass) echo "cold warm all" ;;
	scan) echo "all linux" ;;
	kernel-cache) echo "off @folder" ;;
	kernel-unpack) echo "auto host guest" ;;
	add-cmdline | hugepages | direct) echo "on off" ;;
	disk) echo "path= fd= readonly= serial= direct= cache= queues= iops= bw= aio= bus=" ;;
	disk.cache) echo "writeback writethrough" ;;
	disk.aio) echo "auto io_uring threads" ;;
	net) echo "passt tap= fd= passt= socket= queues= mac= mtu= bus=" ;;
	net.tap) echo @interface ;;
	balloon) echo "size= deflate-on-oom= reporting= bus=" ;;
	pmem) echo "path= fd= readonly= bus=" ;;
	rng) echo "bus=" ;;
	vsock) echo "cid= path= fd= bus=" ;;
	pci) echo "config= window= large-pages= coalesce= buses= ports= pv-bit= pv-bit-15=" ;;
	pci.config) echo "ecam both type1" ;;
	pci.window) echo "auto memory trap" ;;
	pci.buses | pci.ports) echo auto ;;
	pci.pv-bit) echo off ;;
	pci.pv-bit-15) echo i-understand ;;
	tables) echo "acpi fdt both" ;;
	serial) echo "$end" ;;
	console) echo "$end name= bus=" ;;
	pci.large-pages) echo "on all off" ;;
	*.coalesce | *.readonly | *.direct | *.deflate-on-oom | *.reporting) echo "on off" ;;
	*.path | *.file | *.socket | *.link | *.passt) echo @file ;;
	verbose) return 1 ;;
	*) ;; # a number, a size, a text
	esac
}

# Options that may stand without their value.
_lacuna_may_stand_alone() { # OPTION
	[[ $1 == hugepages || $1 == balloon || $1 == rng ]]
}

# Options whose value is a list of words; `all` and `none` stand for a whole one.
_lacuna_is_list() { # OPTION
	case $1 in
	mechanism | pass | scan | kinds | variants | compare | workloads | monitors) ;;
	*) return 1 ;;
	esac
}

# The words up to the cursor, with what $COMP_WORDBREAKS has cut up ('--pci=config=ecam', 'fd=3:4') put together again.
_lacuna_words() { # fills the caller's array `words`
	local rest=$COMP_LINE i word trimmed
	words=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		trimmed=${rest#"${rest%%[![:space:]]*}"}
		if [[ $i -gt 0 && $trimmed == "$rest" ]]; then
			words[${#words[@]} - 1]+=$word
		else
			words+=("$word")
		fi
		rest=${trimmed#"$word"}
	done
}

# Offers the words that continue $typed; in front of each belongs $before, what of the word is there already.
_lacuna_offer() { # WORD...
	local word
	for word in "$@"; do
		[[ $word == "$typed"* ]] || continue
		COMPREPLY+=("$before$word")
		[[ $word != *= ]] || compopt -o nospace 2>/dev/null
	done
}

_lacuna_offer_names() { # compgen's options
	local name
	compopt -o filenames 2>/dev/null
	while IFS= read -r name; do
		COMPREPLY+=("$before$name")
	done < <(compgen "$@" -- "$typed")
}

# Completes $typed as (a part of) the value of an option.
_lacuna_complete_value() { # OPTION
	local topic=$1 item=${typed##*,} words
	words=$(_lacuna_value "$topic") || return
	if [[ " $words" == *= || $words == *"= "* ]]; then # a list: its last item is in the making
		before+=${typed%"$item"}
		typed=$item
		if [[ $item == *=* ]]; then
			before+=${item%%=*}=
			typed=${item#*=}
			words=$(_lacuna_value "$topic.${item%%=*}")
		fi
	elif [[ $typed == *,* ]] && _lacuna_is_list "$topic"; then
		before+=${typed%"$item"}
		words=" $words " && words=${words/ all / } && words=${words/ none / }
		for typed in ${typed//,/ }; do # what is there already
			[[ $typed == "$item" ]] || words=${words/ $typed / }
		done
		typed=$item
	fi
	for item in $words; do
		case $item in
		@file) _lacuna_offer_names -f ;;
		@folder) _lacuna_offer_names -d ;;
		@interface) _lacuna_offer $(cd /sys/class/net 2>/dev/null && printf '%s\n' *) ;;
		*) _lacuna_offer "$item" ;;
		esac
	done
}

# Completes an option of a command, or its value.
_lacuna_complete_option() { # COMMAND, as for _lacuna_options
	local current=${words[-1]} previous=${words[-2]} option form=$1
	option=${previous#--}
	if [[ $current == --*=* ]]; then
		option=${current%%=*}
		before=$option= typed=${current#*=}
		_lacuna_complete_value "${option#--}"
	elif [[ $previous == --* && $previous != *=* && $current != --* ]] &&
		_lacuna_value "$option" >/dev/null; then
		_lacuna_complete_value "$option"
		! _lacuna_may_stand_alone "$option" || [[ $current ]] ||
			_lacuna_offer $(_lacuna_options "$1" | sed -E 's/[a-z-]+/--&/g')
	elif [[ $1 == dump && $current != -* ]]; then
		_lacuna_offer acpi fdt e820 cmdline pci
	else
		_lacuna_offer $(_lacuna_options "$1" | sed -E 's/[a-z-]+/--&/g') --help
	fi
}

_lacuna_complete() {
	local current=${words[-1]} command=${words[1]}
	typed=$current
	if [[ ${#words[@]} -eq 2 ]]; then
		_lacuna_offer run dump control doctor bench help version
		[[ $current != -* ]] || _lacuna_offer --help --version
		return
	fi
	case $command in
	run | dump) _lacuna_complete_option "$command" ;;
	bench)
		if [[ ${#words[@]} -eq 3 ]]; then
			_lacuna_offer boot pci start io
			[[ $current != -* ]] || _lacuna_offer --help
		else
			_lacuna_complete_option "bench-${words[2]}"
		fi
		;;
	control)
		case ${#words[@]} in
		3) _lacuna_offer_names -f ;;
		4) _lacuna_offer get set state pause resume stats power-button stop ;;
		esac
		;;
	help) [[ ${#words[@]} -gt 3 ]] || _lacuna_offer run dump control doctor bench help version ;;
	esac
}

_lacuna() {
	local words typed before="" IFS=$' \t\n' cut i
	COMPREPLY=()
	_lacuna_words
	_lacuna_complete
	# readline replaces only what follows the last word break, so the replies begin there.
	cut=${words[-1]}
	while [[ $cut && $COMP_WORDBREAKS != *"${cut: -1}"* ]]; do cut=${cut%?}; done
	for i in "${!COMPREPLY[@]}"; do
		COMPREPLY[i]=${COMPREPLY[i]#"$cut"}
	done
}

complete -F _lacuna lacuna
