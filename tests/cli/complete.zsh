# SPDX-License-Identifier: Apache-2.0
# zsh -f complete.zsh FOLDER: for each line read, what zsh offers there with the completions of FOLDER, one a line, and an
# empty line. A shell on a pseudo-terminal gets the line and a Tab; its compadd tells what it was given.
zmodload zsh/zpty
zpty shell 'PS1= TERM=dumb zsh -f -i'
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -D -u"
zpty -w shell 'setopt no_auto_list no_auto_menu; bindkey "^I" complete-word; zstyle ":completion:*" insert-tab false'
zpty -w shell 'compadd() {
	if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
	local -a offered
	builtin compadd -A offered "$@"
	[[ -z $offered ]] || print -rl -- "<offer>"$^offered
	[[ -n $offered ]]
}'
zpty -w shell 'tell() { print -r -- "<"done">" }; zle -N tell; bindkey "^T" tell'
zpty -w shell 'print -r -- "<"ready">"'
zpty -r -m shell output '*<ready>*'
while IFS= read -r line; do
	zpty -w -n shell $'\C-u'$line$'\t\C-t'
	zpty -r -m shell output '*<done>*'
	print -r -- ${output//$'\r'/} | sed -n 's/^.*<offer>//p'
	print
done
