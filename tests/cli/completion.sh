#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Completion in bash and zsh, against what the program itself says: its help, and the keys that its errors name.
. "$(dirname "$0")/../lib.sh"

bash_file=completions/lacuna.bash zsh_file=completions/_lacuna
. "$top/$bash_file"
mkdir "$tmp/folder" && touch "$tmp/image" "$tmp/folder/inside"
cd "$tmp" || exit 1

# What bash offers for LINE: cut into words as readline does with its usual $COMP_WORDBREAKS.
in_bash() { # LINE
	local rest=$1
	COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=() COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
	while [[ $rest =~ ^[[:space:]]+ || $rest =~ ^[=:]+ || $rest =~ ^[^[:space:]=:]+ ]]; do
		rest=${rest#"${BASH_REMATCH[0]}"}
		[[ ${BASH_REMATCH[0]} == [[:space:]]* && $rest ]] || COMP_WORDS+=("${BASH_REMATCH[0]# }")
	done
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_lacuna 2>&1 # a complaint is an offer that nobody expects
	printf '%s\n' "${COMPREPLY[@]}"
}
in_zsh() { # LINE
	local offer
	echo "$1" >&"$to_zsh"
	while IFS= read -r -t 60 offer <&"$from_zsh" && [ -n "$offer" ]; do echo "$offer"; done
}
shells=(bash)
if command -v zsh >/dev/null; then
	shells+=(zsh)
	check "zsh: syntax" zsh -n "$top/$zsh_file"
	coproc ZSH { exec zsh -f "$top/tests/cli/complete.zsh" "$top/completions" 2>&1; }
	exec {from_zsh}<&"${ZSH[0]}" {to_zsh}>&"${ZSH[1]}" # the coprocess's own are not for subshells
else
	skip "zsh completes" "zsh is not installed"
fi
check "bash: knows where to complete" grep -q -- '-F _lacuna lacuna' <(complete -p lacuna)

offers() { # LINE WORD...: bash offers these, in any order
	same "bash: '$1'" "$(printf '%s\n' "${@:2}" | sort)" "$(in_bash "$1" | sort)"
}

# --- commands and their options
commands=$("$LACUNA" help | sed -nE 's/^  ([a-z]+) .*/\1/p')
options() { # COMMAND
	# shellcheck disable=SC2086 # two words for a command of bench
	"$LACUNA" help $1 | sed -nE 's/^  (--[a-z0-9-]+).*/\1/p'
}
requests=$("$LACUNA" help control | sed -nE 's/^  ([a-z-]+) .*/\1/p')
kinds=$("$LACUNA" help dump | sed -nE '1s/^Usage: lacuna dump ([^. ]+).*/\1/p' | tr '|' '\n')
for shell in "${shells[@]}"; do
	file=${shell}_file
	file=${!file}
	same_set "$shell: commands" "$commands" "$("in_$shell" "lacuna ")" "$file: add the command %" "$file: there is no command %"
	same_set "$shell: help on commands" "$commands" "$("in_$shell" "lacuna help ")" "$file: add %" "$file: there is no command %"
	for command in run dump; do
		same_set "$shell: options of $command" "$(options $command)"$'\n'--help "$("in_$shell" "lacuna $command --" | sed 's/=$//')" \
			"$file: add % ($([ "$shell" = bash ] && echo "_lacuna_options, _lacuna_value" || echo "lacuna_machine, or $command"))" \
			"$file: '$command' has no option %"
	done
	benches=$("$LACUNA" help bench | sed -nE 's/^  ([a-z]+) .*/\1/p')
	same_set "$shell: commands of bench" "$benches" "$("in_$shell" "lacuna bench ")" \
		"$file: add the command % of bench" "$file: bench has no command %"
	for command in $benches; do
		same_set "$shell: options of bench $command" "$(options "bench $command")"$'\n'--help \
			"$("in_$shell" "lacuna bench $command --" | sed 's/=$//')" "$file: add % to bench $command" \
			"$file: 'bench $command' has no option %"
	done
	same_set "$shell: requests of control" "$requests" "$("in_$shell" "lacuna control image ")" \
		"$file: add the request %" "$file: there is no request %"
	same_set "$shell: what dump writes" "$kinds" "$("in_$shell" "lacuna dump ")" "$file: add %" "$file: dump knows no %"
done

# --- keys: those that the program says it knows; `kind` is the name of a first word without a key
keyed=$("$LACUNA" help run | sed -nE 's/^  (--[a-z-]+) [^ ]*=.*/\1/p')
check "the help has options with keys" test "$(wc -l <<<"$keyed")" -ge 9
if [ ! -w /dev/kvm ]; then
	skip "keys" "no access to /dev/kvm"
	keyed=
fi
for option in $keyed; do
	known=$("$LACUNA" run "$option" no-such-key=1 2>&1 | sed -nE "s/.*: unknown key 'no-such-key'; known are: (.*)/\1/p" |
		tr -d ' ' | tr ',' '\n' | grep -vx kind)
	check "the program names the keys of $option" test -n "$known"
	same_set "bash: keys of $option" "$known" "$(in_bash "lacuna run $option " | sed -n '/^--/!s/=$//p')" \
		"$bash_file: add %= to _lacuna_value" "$bash_file: $option has no key %"
	[[ ${shells[*]} != *zsh* ]] ||
		same_set "zsh: keys of $option" "$known" "$(in_zsh "lacuna run $option " | grep -vxE 'stdio|off|pty|--.*')" \
			"$zsh_file: add % to _lacuna_${option#--}()" "$zsh_file: $option has no key %"
done

# --- values: each "key=word|word" and each argument "word|word" of the help; not ranges of numbers, nor what stands for a name
choices() {
	"$LACUNA" help run | awk '
	function show(option, key, list,    n, i, word, out) {
		n = split(list, word, "|")
		for (i = 1; i <= n; i++)
			if (word[i] !~ /\.\.|[A-Z]/)
				out = out " " word[i]
		if (out)
			print option, key out
	}
	/^  --/ { option = $1; if ($2 ~ /^[A-Za-z]+(\|[A-Za-z]+)+$/) show(option, "-", $2) }
	/^  --/, 0 {
		for (rest = $0; match(rest, /[a-z][a-z0-9-]*=[a-z0-9_.]+(\|[a-z0-9_.]+)+/); rest = substr(rest, RSTART + RLENGTH)) {
			found = substr(rest, RSTART, RLENGTH)
			show(option, substr(found, 1, index(found, "=") - 1), substr(found, index(found, "=") + 1))
		}
	}'
}
check "the help has choices" test "$(choices | wc -l)" -ge 10
while read -r option key words; do
	line="lacuna run $option "
	[ "$key" = - ] || line+=$key=
	for shell in "${shells[@]}"; do
		file=${shell}_file
		same_set "$shell: '$line'" "$(tr ' ' '\n' <<<"$words")" "$("in_$shell" "$line" | grep -vxE -e '--.*|image|folder')" \
			"${!file}: add %" "${!file}: $option $key does not take %"
	done
done < <(choices)

# --- options that may be given again, which zsh has to be told
again=$("$LACUNA" help run | awk '/^  --/ { option = $1 } /may be given again/ { print option }')
check "the help has options that may be given again" grep -qx -- --initrd <<<"$again"
if command -v zsh >/dev/null; then
	for option in $again --kernel; do
		same "zsh: after $option" "$(grep -x -- "$option" <<<"$again")" \
			"$(in_zsh "lacuna run $option=x $option" | sed 's/=$//' | grep -x -- "$option")"
	done
fi

# --- how bash puts words together
offers "lacuna d" dump doctor
offers "lacuna run --memory 1G --mar" --marker
offers "lacuna run --kernel i" image
offers "lacuna run --kernel=i" image
offers "lacuna dump acpi --out " folder
offers "lacuna run --disk path=" image folder
offers "lacuna run --disk readonly=on,path=folder/" folder/inside
offers "lacuna run --disk path=image,ca" image,cache=
offers "lacuna run --disk path=image,cache=writet" writethrough
offers "lacuna run --pci=config=ecam,window=t" trap
offers "lacuna run --serial fd=3:"
offers "lacuna run --cpus "
offers "lacuna control i" image
offers "lacuna doctor "
offers "lacuna bench start --format c" csv
offers "lacuna bench start --plot f" folder
offers "lacuna bench start --save=i" image
offers "lacuna bench boot --disk i" image
offers "lacuna bench boot --net ta" tap=
offers "lacuna run --net ta" tap=
offers "lacuna bench pci --mechanism type1,ecam-t" type1,ecam-trap
offers "lacuna bench pci --scan=all," all,linux # in scan it is one of them, but there already
offers "lacuna bench start --kinds exec,floor-naive,f" exec,floor-naive,floor
offers "lacuna bench io --monitors qemu,a"
offers "lacuna bench start --vms 1,"
for shell in "${shells[@]}"; do
	for option in "boot --variants" "boot --compare" "pci --mechanism" "pci --pass" "pci --scan" "start --kinds" "io --workloads" "io --monitors"; do
		# the words of the refusal are all there are, but for "none"
		# shellcheck disable=SC2086 # two words
		known=$("$LACUNA" bench $option nonsense 2>&1 | sed -n "s/.*'nonsense' is none of: //p" | tr -d ' ' | tr , '\n')
		same_set "$shell: words of bench $option" "$known" "$("in_$shell" "lacuna bench $option " | grep -vx none)" \
			"add % to bench $option" "bench $option has no %"
	done
done
check "bash: options again after one without a value" grep -qx -- --cpus <(in_bash "lacuna run --verbose ")
check "bash: options after a value that may be missing" grep -qx -- --cpus <(in_bash "lacuna run --rng ")
finish
