#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What users and hosts get wrong. Each case: status 125, nothing on stdout, one line on stderr that says what and why.
. "$(dirname "$0")/../lib.sh"

elf=$BUILD/tests/guest/console.elf
run() { # NAME PATTERN OPTION...
	local name=$1 pattern=$2
	shift 2
	refused "$name" "$pattern" "$LACUNA" run "$@"
}
opened() { # NAME PATTERN REDIRECTION OPTION...: with a descriptor that the shell opens
	local name=$1 pattern=$2 redirection=$3
	shift 3
	refused "$name" "$pattern" bash -c "exec $redirection; "'exec "$@"' - "$LACUNA" run "$@"
}
handed() { # NAME PATTERN KIND FILE OPTION...: with one that it can't open, as number 7
	local name=$1 pattern=$2 kind=$3 file=$4
	shift 4
	refused "$name" "$pattern" "$BUILD/tests/cli/handover" "$kind" "$file" "$LACUNA" run "$@"
}
patch() { # FILE OFFSET BYTES: as printf escapes
	printf '%b' "$3" | dd of="$1" bs=1 seek="$(($2))" conv=notrunc status=none
}
# Without the capabilities by which root reads and writes everything.
owner_only="setpriv --bounding-set=-all --inh-caps=-all --securebits=+noroot"

# --- usage
refused "no command" "no command given; see 'lacuna help'" "$LACUNA"
refused "unknown command" "unknown command 'start'" "$LACUNA" start
refused "help on an unknown command" "unknown command 'start'" "$LACUNA" help start
refused "argument after version" "version: unexpected argument 'x'" "$LACUNA" version x
refused "argument after doctor" "doctor: unexpected argument '--fix'" "$LACUNA" doctor --fix
run "unknown option" "unknown option '--kernal'; see 'lacuna help run'" --kernal=x
run "unknown option with a known beginning" "unknown option '--cpu'" --cpu 1
run "empty option" "unknown option '--'" --
run "stray word" "run: unexpected argument 'vmlinuz'; see 'lacuna help run'" vmlinuz
run "value missing at the end" "--cpus needs a value: --cpus=N" --cpus
run "value missing before an option" "--kernel needs a value" --kernel --rng
run "value where none belongs" "--verbose takes no value" --verbose=1
run "line break in a name stays one line" "No such file" --kernel "$tmp/a"$'\n'"b"
refused "dump of nothing" "dump: say what" "$LACUNA" dump --out "$tmp"
refused "dump to nowhere" "dump: say where: --out=DIR" "$LACUNA" dump acpi
refused "dump of something unknown" "dump: unknown 'smbios'" "$LACUNA" dump smbios --out "$tmp"

# --- numbers and keys
run "no CPU" "cpus: 0 is out of range; give 1 to 254" --cpus 0
run "255 CPUs" "cpus: 255 is out of range" --cpus 255
run "CPUs in words" "cpus: 'two' is not a number" --cpus two
run "negative CPUs" "cpus: '-1' is not a number" --cpus -1
run "CPUs given twice" "cpus: given twice" --cpus 1 --cpus 1
run "no memory" "memory: 0 is too little; give at least 32M" --memory 0
run "little memory" "memory: 31M is too little" --memory 31M
run "odd memory" "memory: 33554433 is not a multiple of 4K" --memory 33554433
run "memory in nonsense" "memory: '1X' is not a size" --memory 1X
run "memory beyond 64 bits" "memory: 99999999999G is more than 64 bits" --memory 99999999999G
run "memory beyond x86-64" "memory: 4096T is more than" --memory 4096T
run "odd memory with hugepages" "multiple of 2M" --memory 33M --hugepages
run "hugepages in nonsense" "hugepages: 'maybe' is neither on nor off" --hugepages=maybe
ulimit -S -f 1024 # KiB: for the pages of 256 functions
mapfile -t functions < <(yes -- --rng | head -n 300)
run "a limit on the size of files" "memory for PCI configuration pages: File too large" --pci window=memory "${functions[@]}"
same "a limit on the size of files: RAM is none" "0 " "$("$LACUNA" run --memory 64M --serial off 2>"$tmp/err" && echo "$? $(cat "$tmp/err")")"
ulimit -S -f unlimited
run "no time" "timeout: 0 is out of range" --timeout 0
run "time in nonsense" "timeout: 'soon' is not a duration" --timeout soon
run "unknown unpacker" "kernel-unpack: 'me' is unknown; give auto, host or guest" --kernel-unpack me
run "empty kernel cache" "kernel-cache: the file name is empty" --kernel-cache ''
run "empty marker" "marker: give a text" --marker ''
run "unknown serial" "serial: 'tty' is unknown; give stdio" --serial tty
run "serial given twice" "serial: given twice" --serial off --serial off
run "statistics given twice" "stats-file: given twice" --stats-file "$tmp/1" --stats-file "$tmp/2"
run "buses=0" "pci: buses: 0 is out of range; give 1 to 256" --pci buses=0
run "buses=257" "pci: buses: 257 is out of range" --pci buses=257
run "unknown pci key" "pci: unknown key 'bus'; known are: config, window" --pci bus=1
run "pci key given twice" "pci: key 'buses' is given twice" --pci buses=1,buses=1
run "pci given twice" "pci: given twice" --pci buses=1 --pci config=both
run "unknown config" "pci: config: 'ecma' is unknown; give ecam, both or type1" --pci config=ecma
run "unknown window" "pci: window: 'on' is unknown" --pci window=on
run "window without ECAM" "config=type1 has no window" --pci config=type1,window=memory
run "256 ports" "pci: ports: 256 is out of range; give 0 to 255" --pci ports=256
run "pv-bit out of range" "pv-bit: 32 is out of range" --pci pv-bit=32
run "pv-bit of KVM's" "pv-bit=5 has another meaning" --pci pv-bit=5
run "pv-bit 15 unacknowledged" "add pv-bit-15=i-understand" --pci pv-bit=15
run "unknown tables" "tables: 'dtb' is unknown; give acpi, fdt or both" --tables dtb
run "tables given twice" "tables: given twice" --tables fdt --tables=acpi
for tables in fdt both; do
	run "a device tree ($tables) without the window" "tables: a device tree describes the ECAM window, of which pci config=type1 has none" \
		--tables $tables --pci config=type1
done
run "initrd without a kernel" "initrd: the built-in probe guest takes none" --initrd "$elf"

# --- output that can't be written
run "statistics in a missing folder" "stats-file: create '.*/none/s.json': No such file" --stats-file "$tmp/none/s.json"
run "statistics in a folder's name" "stats-file: create '$tmp': Is a directory" --stats-file "$tmp"
# shellcheck disable=SC2016 # $0 is the inner shell's
refused "standard output closed" "serial: standard output is closed" bash -c 'exec "$0" run >&-' "$LACUNA"

if [ ! -w /dev/kvm ]; then
	skip "kernels, disks and the host" "no access to /dev/kvm"
	finish
fi

# shellcheck disable=SC2016
refused "serial file in a missing folder" "serial: .*No such file" "$LACUNA" run --serial "file=$tmp/none/log"
status=0 # the reader goes away while the guest prints
{ timeout 20 "$LACUNA" run --kernel "$elf" --cmdline test=flood --timeout 15 2>"$tmp/err" || echo $? >"$tmp/status"; } |
	head -n 1 >"$tmp/out"
same "reader of standard output gone: status" 125 "$(cat "$tmp/status")"
check "reader of standard output gone: one line" grep -qE '^lacuna: serial: .*Broken pipe' "$tmp/err"
same "reader of standard output gone: only one line" 1 "$(wc -l <"$tmp/err")"
if [ -c /dev/full ]; then
	timeout 20 "$LACUNA" run --kernel "$elf" --cmdline test=flood --timeout 15 >/dev/full 2>"$tmp/err" || status=$?
	same "no space for standard output: status" 125 "$status"
	check "no space for standard output: why" grep -qE '^lacuna: serial: .*No space' "$tmp/err"
	status=0 # prints a little and powers off at once: only the last flush can notice
	timeout 20 "$LACUNA" run --timeout 15 >/dev/full 2>"$tmp/err" || status=$?
	same "no space for the last output: status" 125 "$status"
	check "no space for the last output: why" grep -qE '^lacuna: serial: .*No space' "$tmp/err"
fi

# --- kernels
run "kernel missing" "kernel '$tmp/none': open: No such file" --kernel "$tmp/none"
run "kernel in a folder's name" "kernel '$tmp': is a directory" --kernel "$tmp"
run "kernel that is a device" "is not a regular file" --kernel /dev/zero
: >"$tmp/empty"
run "kernel empty" "is empty" --kernel "$tmp/empty"
echo "Once upon a time" >"$tmp/text"
run "kernel that is text" "kernel '.*': is text, not a kernel" --kernel "$tmp/text"
gzip -c "$elf" >"$tmp/gz"
run "kernel compressed" "gzip" --kernel "$tmp/gz"
run "kernel that is a program" "is an ELF file, but" --kernel /bin/true
head -c 40 "$elf" >"$tmp/short"
run "ELF header cut off" "truncated" --kernel "$tmp/short"
head -c 5000 "$elf" >"$tmp/short"
run "ELF segments cut off" "truncated" --kernel "$tmp/short"
cp "$elf" "$tmp/foreign" && patch "$tmp/foreign" 0x12 '\xb7\x00'
run "ELF for another machine" "ELF file for .*x86-64" --kernel "$tmp/foreign"
cp "$elf" "$tmp/foreign" && patch "$tmp/foreign" 0x04 '\x01'
run "ELF of 32 bits" "32-bit ELF" --kernel "$tmp/foreign"
# A third program header: a note of 20 bytes at 0x800, which is Xen's for PVH.
cp "$elf" "$tmp/pvh" && patch "$tmp/pvh" 0x38 '\x03' && patch "$tmp/pvh" 176 '\x04'
patch "$tmp/pvh" 185 '\x08' && patch "$tmp/pvh" 208 '\x14'
patch "$tmp/pvh" 0x800 '\x04\x00\x00\x00\x04\x00\x00\x00\x12\x00\x00\x00Xen\x00\x00\x00\x10\x00'
run "PVH with nothing but a device tree" "kernel '$tmp/pvh': is entered by PVH, which hands over no device tree: give tables=acpi" \
	--kernel "$tmp/pvh" --tables fdt
# A bzImage header (Linux boot.rst): setup_sects 1, 64 KiB of code, signatures, protocol, loadflags, xloadflags.
truncate -s 1024 "$tmp/bz"
patch "$tmp/bz" 0x1f1 '\x01' && patch "$tmp/bz" 0x1f4 '\x00\x10\x00\x00' && patch "$tmp/bz" 0x1fe '\x55\xaa\xeb\x6e'
patch "$tmp/bz" 0x202 'HdrS\x0f\x02' && patch "$tmp/bz" 0x211 '\x01' && patch "$tmp/bz" 0x236 '\x01\x00'
run "bzImage cut off" "truncated bzImage" --kernel "$tmp/bz"
cp "$tmp/bz" "$tmp/old" && patch "$tmp/old" 0x206 '\x05\x02'
run "bzImage too old" "boot protocol 2.05, too old" --kernel "$tmp/old"
cp "$tmp/bz" "$tmp/bz32" && patch "$tmp/bz32" 0x236 '\x00\x00'
run "bzImage of 32 bits" "32-bit Linux kernel" --kernel "$tmp/bz32"
run "initrd missing" "initrd '$tmp/none': open: No such file" --kernel "$elf" --initrd "$tmp/none"
truncate -s 64M "$tmp/initrd"
run "initrd larger than RAM" "initrd '.*': does not fit" --kernel "$elf" --memory 48M --initrd "$tmp/initrd"
run "command line too long" "command line of 700.. bytes is too long" --kernel "$elf" --cmdline "$(printf '%070000d' 0)"

# --- disks
run "disk without a file" "disk0: no file given: path=FILE" --disk readonly=on
run "disk missing" "disk0: .*'$tmp/none'.*No such file" --disk path="$tmp/none"
run "disk in a folder's name" "is a directory" --disk "$tmp"
run "disk that is a character device" "neither a file nor a block device" --disk /dev/zero
run "disk empty" "is empty" --disk "$tmp/empty"
run "unknown disk key" "disk: unknown key 'ro'; known are: path, fd, readonly" --disk "path=$tmp/d,ro=on"
run "disk key without a value" "disk: 'readonly' has no value" --disk "path=$tmp/d,readonly"
truncate -s 1000 "$tmp/odd"
run "disk not a multiple of 512" "has 1000 bytes, not a multiple of 512" --disk "$tmp/odd"
truncate -s 1M "$tmp/disk"
run "disk with too many queues" "disk0: queues: 17 is out of range" --disk "path=$tmp/disk,queues=17"
run "disk with an unknown cache mode" "disk0: cache 'none' is none of: writeback, writethrough" --disk "path=$tmp/disk,cache=none"
run "disk with an unknown engine" "disk0: aio 'native' is none of: auto, io_uring, threads" --disk "path=$tmp/disk,aio=native"
run "disk without requests" "disk0: iops: 0 is out of range" --disk "path=$tmp/disk,iops=0"
run "disk with less than a sector a second" "disk0: bw '511' is less than one sector" --disk "path=$tmp/disk,bw=511"
run "direct I/O where there is none" "disk0: .*no direct I/O: leave direct=on out" --disk "path=/sys/kernel/uevent_seqnum,direct=on,readonly=on"
run "one disk twice" "disk1: .*in use" --disk "$tmp/disk" --disk "$tmp/disk"
run "one disk twice, once to read" "disk1: .*in use" --disk "$tmp/disk" --disk "$tmp/disk,readonly=on"
run "disk by name and descriptor" "disk0: give path=FILE or fd=N, not both" --disk "$tmp/disk,fd=0"
run "disk descriptor that is not open" "disk0: disk fd 999 is not an open descriptor" --disk fd=999
run "disk descriptor below zero" "disk0: fd: '-1' is not a number" --disk fd=-1
run "disk descriptor beyond all" "disk0: fd: 2147483648 is out of range" --disk fd=2147483648
run "disk descriptor in words" "disk0: fd: 'three' is not a number" --disk fd=three
opened "disk descriptor that is a character device" "disk0: disk fd 7 is neither a file nor a block device" "7<>/dev/zero" --disk fd=7
opened "disk descriptor of a folder" "disk0: disk fd 7 is a directory" "7<'$tmp'" --disk fd=7,readonly=on
opened "disk descriptor of an empty file" "disk0: disk fd 7 is empty" "7<>'$tmp/empty'" --disk fd=7
opened "disk descriptor of an odd file" "disk0: disk fd 7 has 1000 bytes, not a multiple of 512" "7<>'$tmp/odd'" --disk fd=7
opened "disk descriptor to read, without readonly=on" \
	"disk0: disk fd 7 is open for reading only: open it for writing too, or add readonly=on" "7<'$tmp/disk'" --disk fd=7
opened "disk descriptor to write" "disk0: disk fd 7 can't be read: open it for reading too" "7>>'$tmp/disk'" --disk fd=7
handed "disk descriptor that appends" "disk0: disk fd 7 was opened with O_APPEND, .*: open it without" append "$tmp/disk" --disk fd=7
handed "disk descriptor past the page cache" "disk0: disk fd 7 was opened with O_DIRECT: add direct=on" direct "$tmp/disk" --disk fd=7
opened "one disk descriptor twice" "disk1: disk fd 7 is in use: given twice, or another VM" "7<>'$tmp/disk'" --disk fd=7 --disk fd=7
opened "one disk by descriptor and by name" "disk1: disk '$tmp/disk' is in use" "7<>'$tmp/disk'" --disk fd=7 --disk "$tmp/disk"
opened "direct I/O on a descriptor where there is none" "disk0: disk fd 7: its file system has no direct I/O" \
	"7</sys/kernel/uevent_seqnum" --disk fd=7,direct=on,readonly=on
chmod 444 "$tmp/disk"
# shellcheck disable=SC2086 # a command and its options
refused "read-only file as a writable disk" "can't be written to: make it writable or add readonly=on" \
	$owner_only "$LACUNA" run --disk "$tmp/disk"
run "balloon of all memory" "balloon0: size: 256M is all of the guest's memory or more: give less than 256" --balloon 256M
run "balloon of half a page" "balloon0: size: 2K is not a multiple of 4K" --balloon size=2K
run "balloon in nonsense" "balloon0: size: 'big' is not a size" --balloon=big
run "balloon reporting in nonsense" "balloon0: reporting: 'yes' is neither on nor off" --balloon reporting=yes
run "unknown balloon key" "balloon: unknown key 'target'; known are: size, deflate-on-oom" --balloon target=1M
run "two balloons" "balloon: given twice, but a machine has one at most" --balloon --balloon size=4K
run "pmem without a file" "pmem0: no file given: path=FILE" --pmem readonly=on
run "pmem missing" "pmem0: open '$tmp/none': No such file" --pmem path="$tmp/none"
run "pmem in a folder's name" "pmem0: '$tmp' is a directory: name a file in it" --pmem "$tmp"
run "pmem that is a character device" "pmem0: '/dev/zero' is not a regular file" --pmem /dev/zero
run "pmem empty" "pmem0: '$tmp/empty' is empty: give it a size with truncate -s" --pmem "$tmp/empty"
run "pmem of an odd size" "has 1000 bytes, not a multiple of 2M: enlarge it with truncate -s %2M" --pmem "$tmp/odd"
run "unknown pmem key" "pmem: unknown key 'size'; known are: path, fd, readonly" --pmem "path=$tmp/d,size=2M"
truncate -s 2M "$tmp/pmem"
run "one pmem twice" "pmem1: '$tmp/pmem' is in use: given twice, or another VM" --pmem "$tmp/pmem" --pmem "$tmp/pmem"
run "pmem descriptor that is not open" "pmem0: fd 999 is not an open descriptor" --pmem fd=999
run "pmem descriptor below zero" "pmem0: fd: '-1' is not a number" --pmem fd=-1
run "pmem by name and descriptor" "pmem0: give path=FILE or fd=N, not both" --pmem "$tmp/pmem,fd=0"
opened "pmem descriptor that is a character device" "pmem0: fd 7 is not a regular file" "7<>/dev/zero" --pmem fd=7
opened "pmem descriptor of an odd file" "pmem0: fd 7 has 1000 bytes, not a multiple of 2M" "7<>'$tmp/odd'" --pmem fd=7
opened "pmem descriptor to read, without readonly=on" "pmem0: fd 7 is open for reading only: .* or add readonly=on" \
	"7<'$tmp/pmem'" --pmem fd=7
opened "one pmem descriptor twice" "pmem1: fd 7 is in use: given twice" "7<>'$tmp/pmem'" --pmem fd=7 --pmem fd=7
chmod 444 "$tmp/pmem"
# shellcheck disable=SC2086 # a command and its options
refused "read-only file as writable pmem" "pmem0: '$tmp/pmem' can't be written to: make it writable or add readonly=on" \
	$owner_only "$LACUNA" run --pmem "$tmp/pmem"
chmod 000 "$tmp/pmem"
# shellcheck disable=SC2086 # a command and its options
refused "pmem without permission" "pmem0: open '$tmp/pmem': Permission denied" \
	$owner_only "$LACUNA" run --pmem "$tmp/pmem,readonly=on"
truncate -s 8T "$tmp/huge"
run "pmem beyond a memory slot" "pmem0: '$tmp/huge' has 8388608 MiB, more than KVM maps in one piece" --pmem "$tmp/huge"
if truncate -s 4P "/dev/shm/${tmp##*/}" 2>/dev/null; then # no disk's file system has files that large
	run "pmem beyond all addresses" "pmem0: .* find no place in the addresses .*: give a smaller file" --pmem "/dev/shm/${tmp##*/}"
else
	skip "pmem beyond all addresses" "no tmpfs at /dev/shm"
fi
rm -f "/dev/shm/${tmp##*/}"
run "unknown key for the entropy device" "rng: unknown key 'source'; known are: bus" --rng=source=/dev/random

# --- devices and the topology
rngs() { # COUNT: sets the array rngs
	rngs=()
	for _ in $(seq "$1"); do
		rngs+=(--rng)
	done
}
run "bus out of range" "rng: bus: 256 is out of range; give 0 to 255" --rng bus=256
run "bus in nonsense" "rng: bus: 'first' is not a number" --rng bus=first
run "a bus behind no port" "pci: bus=3: there is no such bus, ports=2 make buses 0 to 2: give more ports" \
	--rng bus=3 --pci ports=2
rngs 32
run "more devices than bus 0 holds" "pci: ports=0: there is no room for 1 of the devices: give more ports" \
	"${rngs[@]}" --pci ports=0
run "too few buses" "pci: buses=1 is too few for bus 0 and the buses behind 1 port: give at least 2" \
	"${rngs[@]}" --pci buses=1
run "a full bus 0" "pci: bus=0: 32 devices are too many, with ports=0 it has 31 free slots: send some behind a port" \
	"${rngs[@]/%/=bus=0}"
run "too many behind a port" "pci: bus=1: 32 devices are too many behind one port, which has room for 8" \
	"${rngs[@]/%/=bus=1}" --rng=bus=2
rngs 2041
run "more devices than the topology holds" "pci: 2041 devices are too many: .* even with 255 ports: use fewer" "${rngs[@]}"
rngs 300
# shellcheck disable=SC2016
refused "too few descriptors" \
	'300 devices need about 9[0-9][0-9] file descriptors and this process may have 128: raise the limit \(ulimit -n\)' \
	bash -c 'ulimit -n 128; exec "$@"' - "$LACUNA" run "${rngs[@]}"
# shellcheck disable=SC2016
refused "too few descriptors for the interrupts" \
	'300 devices need about 9[0-9][0-9] file descriptors and this process may have 700: raise the limit \(ulimit -n\)' \
	bash -c 'ulimit -n 700; exec "$@"' - "$LACUNA" run "${rngs[@]}"

# --- sockets
run "vsock without a CID" "vsock0: no context identifier given: cid=N, 3 or more" --vsock path="$tmp/v"
run "vsock without a path" "vsock0: no socket given: path=FILE or fd=N" --vsock cid=3
run "vsock with an empty path" "vsock0: no socket given: path=FILE or fd=N" --vsock cid=3,path=
run "vsock descriptor that is not open" "vsock0: fd 999 is not an open descriptor" --vsock cid=3,fd=999
run "vsock descriptor below zero" "vsock0: fd: '-1' is not a number" --vsock cid=3,fd=-1
run "vsock descriptor that is no socket" "vsock0: fd 0 is not a Unix stream socket" --vsock cid=3,fd=0
handed "vsock descriptor of packets" "vsock0: fd 7 is not a Unix stream socket" packets "$tmp/l" --vsock cid=3,fd=7
handed "vsock descriptor that does not listen" "vsock0: fd 7 does not listen: call listen" unbound "" --vsock cid=3,fd=7
handed "vsock descriptor that is connected" "vsock0: fd 7 does not listen" connected "" --vsock cid=3,fd=7
handed "vsock descriptor that blocks" "vsock0: fd 7 is blocking: make it with SOCK_NONBLOCK" blocking "$tmp/l" --vsock cid=3,fd=7
run "vsock: the host's CID" "vsock0: cid: 2 is out of range; give 3 to 4294967294" --vsock cid=2,path="$tmp/v"
run "vsock: the CID that means any" "cid: 4294967295 is out of range" --vsock cid=4294967295,path="$tmp/v"
run "vsock: CID in words" "cid: 'three' is not a number" --vsock cid=three,path="$tmp/v"
run "vsock: unknown key" "vsock: unknown key 'port'; known are: cid, path, fd" --vsock cid=3,path="$tmp/v",port=1
run "vsock given twice" "vsock: given twice" --vsock cid=3,path="$tmp/v" --vsock cid=4,path="$tmp/w"
run "vsock in a missing folder" "make the socket '$tmp/none/v': No such file" --vsock cid=3,path="$tmp/none/v"
long=$tmp/$(printf '%097d' 0)
run "vsock path too long" "the path has ${#long} bytes, and a socket's may have 96 .*give a shorter one" --vsock cid=3,path="$long"
handed "vsock descriptor with a path too long" "the path has ${#long} bytes" listener "$tmp/l" --vsock cid=3,fd=7,path="$long"
run "vsock path of a file" "'$tmp/empty' exists and is not a socket" --vsock cid=3,path="$tmp/empty"
socat -u UNIX-LISTEN:"$tmp/stale",unlink-close=0 /dev/null & # takes one, ends and leaves the file
until [ -S "$tmp/stale" ]; do :; done
run "vsock path in use" "'$tmp/stale' is in use by another program; give another path" --vsock cid=3,path="$tmp/stale"
wait
run "vsock path left behind" "nobody listens any more; remove it" --vsock cid=3,path="$tmp/stale"
same "vsock: what is in the way is not removed" "$tmp/stale" "$(find "$tmp/stale")"

# --- networks
net() { # NAME PATTERN VALUE
	run "$1" "$2" --net "$3"
}
net "no network" "net0: no network given: tap=NAME, fd=N, or passt" mac=52:54:00:12:34:56
net "network of an unknown kind" "'bridge' is unknown; give tap=NAME, fd=N or passt" bridge
net "tap and passt" "give one of tap=NAME, fd=N and passt, not 2" passt,tap=tap0
net "tap, fd and passt" "not 3" tap=tap0,fd=3,passt=x
net "socket without passt" "socket=x goes with passt" tap=tap0,socket=x
net "two sockets" "socket=y goes with passt" passt=x,socket=y
net "unknown network key" "net: unknown key 'vhost'; known are: tap" tap=tap0,vhost=on
for mac in 52:54:00:12:34 52:54:00:12:34:56:78 52:54:00:12:34:5 52-54-00-12-34-56 52:54:00:12:34:5g 525400123456; do
	net "address $mac" "mac: '$mac' is no address; give six bytes as 52:54:00:12:34:56" "passt,mac=$mac"
done
net "a group's address" "mac: '53:54:00:12:34:56' is a group's" passt,mac=53:54:00:12:34:56
net "nobody's address" "mac: '00:00:00:00:00:00' is nobody's" passt,mac=00:00:00:00:00:00
net "MTU too small" "mtu: 67 is out of range; give 68 to 65535" passt,mtu=67
net "MTU too large" "mtu: 65536 is out of range" passt,mtu=65536
net "no queues" "queues: 0 is out of range; give 1 to 8" tap=tap0,queues=0
net "nine queues" "queues: 9 is out of range" tap=tap0,queues=9
net "queues with passt" "queues=2 needs tap=NAME" passt,queues=2
net "queues with a descriptor" "queues=2 needs tap=NAME" fd=0,queues=2
net "tap missing" "net0: there is no interface 'lacuna-none': make it by 'ip tuntap add lacuna-none mode tap'" tap=lacuna-none
net "tap with a long name" "'a-name-of-more-t' is no name of an interface" tap=a-name-of-more-t
net "tap without a name" "'' is no name of an interface" tap=
net "descriptor that is not open" "net0: fd 999 is not an open descriptor" fd=999
net "descriptor that is no tap" "net0: fd 0 is not a tap" fd=0
net "descriptor in words" "fd: 'three' is not a number" fd=three
net "passt by descriptor and socket" "give socket=PATH or fd=N, not both" passt,socket=x,fd=0
net "passt by descriptor and name" "give one of tap=NAME, fd=N and passt, not 2" passt=x,fd=0
net "passt's descriptor not open" "net0: fd 999 is not an open descriptor" passt,fd=999
net "passt's descriptor below zero" "net0: fd: '-1' is not a number" passt,fd=-1
net "passt's descriptor is no socket" "net0: fd 0 is not a Unix stream socket" passt,fd=0
handed "passt's descriptor not connected" "net0: fd 7 is not connected" unbound "" --net passt,fd=7
opened "tap to read only" "net0: fd 7 is not a tap" "7</dev/null" --net fd=7
net "passt's socket missing" "no passt listens on '$tmp/none': start one by 'passt --socket $tmp/none'" "passt=$tmp/none"
net "passt's socket is a file" "no passt listens on '$tmp/empty'" "passt,socket=$tmp/empty"
net "passt's socket with a long path" "must have 1 to 107 bytes, not 120" "passt=$(printf '%0120d' 0)"
mkdir "$tmp/bin"
refused "passt not installed" "net0: passt is not installed: install it \(package passt\), or give tap=NAME" \
	env PATH="$tmp/bin" "$LACUNA" run --net passt
printf '#!/bin/sh\necho "Working on it" >&2\necho "No network here" >&2\nexit 1\n' >"$tmp/bin/passt"
chmod +x "$tmp/bin/passt"
refused "passt that fails" "net0: passt has ended: No network here" env PATH="$tmp/bin:$PATH" "$LACUNA" run --net passt
printf '#!/bin/sh\nexec kill -9 $$\n' >"$tmp/bin/passt"
refused "passt that is killed" "net0: passt has ended: it says nothing" env PATH="$tmp/bin:$PATH" "$LACUNA" run --net passt

# The case is prepared, in namespaces of its own, by SETUP, which may fill the folder $dev: the only devices there are.
networks() { # NAME PATTERN SETUP COMMAND...
	local name=$1 pattern=$2 setup="dev=$tmp/dev; $3"
	shift 3
	rm -rf "${tmp:?}/dev"
	mkdir -p "$tmp/dev/net"
	touch "$tmp/dev/kvm"
	refused "$name" "$pattern" unshare --map-root-user --mount --net bash -c \
		"mount --bind /dev/kvm $tmp/dev/kvm && { $setup; } && mount --rbind $tmp/dev /dev && exec \"\$@\"" bash "$@"
}
# shellcheck disable=SC2016 # for the inner shell
tun='touch $dev/net/tun && mount --bind /dev/net/tun $dev/net/tun'
if ! unshare --map-root-user --mount --net bash -c ': <>/dev/net/tun' 2>/dev/null; then
	skip "taps that are wrong" "namespaces or /dev/net/tun are not allowed here"
else
	networks "no /dev/net/tun" "net0: /dev/net/tun is not there: load the module tun, or use passt" \
		"ip tuntap add tap0 mode tap" "$LACUNA" run --net tap=tap0
	# shellcheck disable=SC2086,SC2016
	networks "/dev/net/tun without permission" "net0: /dev/net/tun may not be opened; .*use passt.*: Permission denied" \
		'ip tuntap add tap0 mode tap; touch $dev/net/tun; chmod 0 $dev/net/tun' $owner_only "$LACUNA" run --net tap=tap0
	# shellcheck disable=SC2086
	[ "$(id -u)" -ne 0 ] || refused "somebody else's tap" "net0: tap 'tap0' belongs to somebody else: make it by .* user NAME'" \
		unshare --net bash -c 'ip tuntap add tap0 mode tap user 12345; exec "$@"' bash $owner_only "$LACUNA" run --net tap=tap0
	networks "interface that is no tap" "net0: interface 'lo' is not a tap" "$tun" "$LACUNA" run --net tap=lo
	networks "tun in place of a tap" "net0: interface 'tun0' is not a tap" "ip tuntap add tun0 mode tun; $tun" \
		"$LACUNA" run --net tap=tun0
	networks "one tap twice" "net1: tap 'tap0' is in use" "ip tuntap add tap0 mode tap; ip link set tap0 up; $tun" \
		"$LACUNA" run --net tap=tap0 --net tap=tap0
	networks "tap for one queue" "net0: tap 'tap0' was made for one queue: leave queues= out, or make it by .* multi_queue" \
		"ip tuntap add tap0 mode tap; $tun" "$LACUNA" run --net tap=tap0,queues=2
	networks "nothing is made by asking for it" "net1: there is no interface 'tap1'" \
		"ip tuntap add tap0 mode tap; ip link set tap0 up; $tun" "$LACUNA" run --net tap=tap0 --net tap=tap1
	networks "passt without a network to use" "net0: passt has ended: External interface not usable" \
		'touch $dev/null && mount --bind /dev/null $dev/null' "$LACUNA" run --net passt
fi

# --- consoles
run "console without an end" "console: give stdio, off, pty, file=FILE, socket=PATH or fd=IN:OUT" --console name=a
run "console with two ends" "console: more than one end is given" --console "pty,file=$tmp/log"
run "two consoles on one terminal" "console: stdio is another port's already" --console stdio --console stdio,name=a
run "serial port and console on one terminal" "stdio is the serial port's already; give --serial off" \
	--serial stdio --console stdio
run "two ports of one name" "console0: name: port 0 is called 'a' too: give another" --console file=/dev/null,name=a --console file=/dev/null,name=a
run "a port's name with a slash" "name: 'a/b' can't be a name in /dev/virtio-ports" --console pty,name=a/b
run "a console's socket in use" "console0: console: port 0: '$tmp/text' is there already: remove it" --console "socket=$tmp/text"
run "a console's link in use" "'$tmp/text' is there already: remove it" --console "pty,link=$tmp/text"
run "a console's socket too long" "path of a socket can have 107 bytes" --console "socket=/$(printf '%0120d' 0)"
run "a console's file in a missing folder" "console: port 0: open '$tmp/none/log': No such file" \
	--console "file=$tmp/none/log"
ports=()
for i in $(seq 32); do ports+=(--console "file=/dev/null,name=p$i"); done
run "too many ports" "console0: more than 31 ports: use fewer" "${ports[@]}"

# --- the host
run "memory beyond the CPU" "memory.* MiB.*: give less" --memory 2047T
# A library in front of the C library's ioctl() plays a KVM that allows two vCPUs.
cat >"$tmp/few.c" <<-'C'
	#define _GNU_SOURCE
	#include <dlfcn.h>
	#include <linux/kvm.h>
	int ioctl(int fd, unsigned long request, unsigned long arg)
	{
		if (request == KVM_CHECK_EXTENSION && (arg == KVM_CAP_MAX_VCPUS || arg == KVM_CAP_NR_VCPUS))
			return 2;
		return ((int (*)(int, unsigned long, unsigned long))dlsym(RTLD_NEXT, "ioctl"))(fd, request, arg);
	}
C
if ldd "$LACUNA" >"$tmp/libs" 2>/dev/null && ! grep -qE 'lib[at]san' "$tmp/libs" && gcc -shared -fPIC -o "$tmp/few.so" "$tmp/few.c" -ldl; then
	refused "more CPUs than KVM allows" "cpus: 3 is more than the 2 that KVM allows" \
		env LD_PRELOAD="$tmp/few.so" "$LACUNA" run --cpus 3
else
	skip "more CPUs than KVM allows" "statically linked or sanitized: ioctl() can't be replaced"
fi

if unshare --map-root-user --mount true 2>/dev/null; then
	own_dev() { # NAME PATTERN SETUP COMMAND...: in a mount namespace whose /dev holds what SETUP makes
		local name=$1 pattern=$2 setup=$3
		shift 3
		refused "$name" "$pattern" unshare --map-root-user --mount \
			bash -c "mount -t tmpfs none /dev; $setup; "'exec "$@"' bash "$@"
	}
	own_dev "no /dev/kvm" "/dev/kvm is not there: load kvm_intel or kvm_amd" : "$LACUNA" run
	own_dev "doctor: no /dev/kvm" "/dev/kvm is not there" : "$LACUNA" doctor
	# shellcheck disable=SC2086
	own_dev "/dev/kvm without permission" "/dev/kvm may not be opened: Permission denied; join the group kvm" \
		"touch /dev/kvm; chmod 0 /dev/kvm" $owner_only "$LACUNA" run
	own_dev "/dev/kvm is something else" "/dev/kvm is not KVM" "touch /dev/kvm" "$LACUNA" run
else
	skip "no /dev/kvm, /dev/kvm without permission" "namespaces are not allowed here"
fi

# --- what is wrong with one option leaves nothing behind
run "kernel missing, with statistics asked for" "No such file" --kernel "$tmp/none" --stats-file "$tmp/s.json"
same "no statistics file after a refusal" "" "$(find "$tmp" -name 's.json*')"
finish
