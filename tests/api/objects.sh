#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a library must leave alone: it never ends the process, prints, changes what belongs to the whole process, or keeps
# state of its own between VMs. Read from its objects: references of each, and writable data.
. "$(dirname "$0")/lib.sh"

if [ -n "$sanitize" ] || [[ $(setting CFLAGS) == *-flto* ]]; then
	skip "references and data" "these objects have those of the sanitizer, or are not code yet"
	finish
fi

archive=$BUILD/liblacuna-internal.a
undefined=$(nm -A --undefined-only "$archive" 2>/dev/null | sed -E 's/^.*:([^:]+\.o):\s+U /\1 /')
without() { # NAME WHY SYMBOL...
	local found
	found=$(awk -v names=" ${*:3} " 'index(names, " " $2 " ") { print $1 ": " $2 }' <<<"$undefined")
	if [ -z "$found" ]; then ok "$1"; else not_ok "$1" "$2" "$found"; fi
}

check "there are references" test "$(wc -l <<<"$undefined")" -gt 500
# __assert_fail is assert()'s. What FORTIFY and the stack protector add (__*_chk) ends a process whose memory is broken already.
without "does not end the process" "return an error instead" exit _exit _Exit quick_exit abort __assert_fail \
	__assert_perror_fail pthread_exit thrd_exit
without "does not print" "use log_*() or the error object" stdout stderr stdin printf vprintf puts putchar perror psignal \
	__printf_chk __vprintf_chk error error_at_line err errx verr verrx warn warnx vwarn vwarnx syslog vsyslog openlog
without "leaves nothing to be called at the process's end" "free it with its VM" atexit on_exit at_quick_exit __cxa_atexit
without "does not change what is the process's" "it is not the library's" setlocale setenv putenv unsetenv clearenv umask \
	chdir fchdir chroot setrlimit setrlimit64 setpriority nice setuid setgid seteuid setegid setgroups srand srandom srand48 \
	alarm setitimer system fork vfork daemon
without "keeps no state in the C library" "take the _r form" strtok rand random drand48 localtime gmtime asctime ctime \
	ptsname ttyname getpwnam getpwuid gethostbyname readdir_r strsignal
without "signal dispositions: none by signal()" "there is one kick signal, src/machine/vcpus.c" signal bsd_signal \
	sysv_signal sigset sigvec siginterrupt sigaltstack
same "signal dispositions: sigaction() for the kick signal only" "vcpus.o" \
	"$(awk '$2 == "sigaction" || $2 == "__sigaction" { print $1 }' <<<"$undefined")"

# --- data: tests/api/writable lists all there is
sections=$(objdump -t "$archive" 2>/dev/null | awk '
	/^[^ ]+\.o: / { object = $1; sub(/:$/, "", object) }
	/ O \.?[a-zA-Z*]/ && match($0, / O [^ \t]+/) {
		section = substr($0, RSTART + 3, RLENGTH - 3)
		if (section ~ /^(\.data|\.bss|\.tdata|\.tbss|\*COM\*)/ && section !~ /^\.data\.rel\.ro/)
			print object, $NF
	}' | sed -E 's/ .*\.([a-z_]+)$/ \1/; s/\.[0-9]+$//' | sort)
same_set "writable data is what tests/api/writable says" "$(sed -E '/^(#|$)/d; s/ +#.*//' tests/api/writable)" "$sections" \
	"tests/api/writable: remove '%', which is there no more" \
	"% is writable data at file scope: make it const, or a member of a VM's objects (or list it in tests/api/writable)"
same "nothing runs when the library is loaded" "" \
	"$(objdump -h "$archive" 2>/dev/null | grep -oE '\.(init_array|fini_array|ctors|dtors|init|fini)\b.*')"
finish
