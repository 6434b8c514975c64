# SPDX-License-Identifier: Apache-2.0
# Counts, with the kernel's own tracepoints, what any VMM on this machine costs. Needs root and tracefs.
#   count_start              clears and arms the counters
#   count_stop ECAM_BASE     disarms them and prints "name value" lines; ECAM is 256 MiB from ECAM_BASE
#   own_memory PID MIB       KiB of memory of a VMM whose guest has MIB of RAM, that RAM aside (needs neither)
# Tracepoints: kvm_userspace_exit (each return of KVM_RUN), kvm_pio and kvm_mmio (each access, in-kernel ones too).

count_tracefs=/sys/kernel/tracing
count_pio='hist:keys=port,rw:size=4096'
count_mmio='hist:keys=gpa,type:size=65536'
count_exit='hist:keys=reason'

count_arm() { # "" or "!"
	local e=$count_tracefs/events/kvm
	echo "$1$count_exit" >"$e/kvm_userspace_exit/trigger" &&
		echo "$1$count_pio" >"$e/kvm_pio/trigger" &&
		echo "$1$count_mmio" >"$e/kvm_mmio/trigger"
}

count_available() {
	[ -w "$count_tracefs/events/kvm/kvm_userspace_exit/trigger" ]
}

count_start() {
	count_arm '!' 2>/dev/null
	count_arm ''
}

# Reads KVM_TRACE_MMIO_* (trace/events/kvm.h): 0 is a read left to userspace, 2 a write.
count_stop() {
	local e=$count_tracefs/events/kvm
	cat "$e/kvm_userspace_exit/hist" "$e/kvm_pio/hist" "$e/kvm_mmio/hist" |
		awk -v base="$(($1))" '
		function field(name) {
			if (!match($0, name ": *[0-9]+"))
				return -1
			return substr($0, RSTART + length(name) + 1, RLENGTH - length(name) - 1) + 0
		}
		/^{ reason:/ { exits += field("hitcount"); reason[field("reason")] += field("hitcount") }
		/^{ port:/ { p = field("port"); n = field("hitcount"); dir = field("rw") ? "write" : "read"
			if (p >= 3320 && p <= 3327) config[dir] += n
			else if (p >= 1016 && p <= 1023) serial += n
			else if (p == 112 || p == 113) cmos += n
			else other += n }
		/^{ gpa:/ { g = field("gpa"); n = field("hitcount"); t = field("type")
			if (g >= base && g < base + 268435456) ecam[t] += n }
		/Dropped: [1-9]/ { dropped++ }
		END {
			print "exits", exits + 0
			print "exits_io", reason[2] + 0
			print "exits_mmio", reason[6] + 0
			print "port_config_read", config["read"] + 0
			print "port_config_write", config["write"] + 0
			print "ecam_read", ecam[0] + 0
			print "ecam_write", ecam[2] + 0
			print "serial", serial + 0
			print "cmos", cmos + 0
			print "port_other", other + 0
			print "dropped", dropped + 0
		}'
	count_arm '!'
}

# Mappings as large as the guest's RAM are the guest's RAM. What others map too counts by its share (Pss): the C library, which every
# process has, or a page of a memfd that is mapped many times.
own_memory() {
	awk -v guest=$(($2 * 1024)) '
		/^Size:/ { size = $2 }
		/^Pss:/ && size < guest { sum += $2 }
		END { print sum + 0 }' "/proc/$1/smaps"
}
