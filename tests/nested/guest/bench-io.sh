# SPDX-License-Identifier: Apache-2.0
# The guest of `lacuna bench io`, as lacuna-bench(1) has it (THE GUEST OF IO).
. /tests/lib.sh
runs=1 seconds=2 net='' workloads=''
for word in $(cat /proc/cmdline); do
	case $word in
	io.runs=*) runs=${word#*=} ;;
	io.workloads=*) workloads=$(echo "${word#*=}" | tr , ' ') ;;
	io.seconds=*) seconds=${word#*=} ;;
	io.net=*) net=${word#*=} ;;
	esac
done
stty -echo
cat >/tmp/gate <<'END'
#!/bin/sh
echo "gate $*" >/dev/console
read -r _ </dev/console
END
printf '#!/bin/sh\nexec /tmp/gate end\n' >/tmp/end
chmod 755 /tmp/gate /tmp/end

job() { # NAME OPTION...: adds a job to fio's arguments, which runs when the one before is done
	name=$1
	shift
	jobs="$jobs $name"
	fio="$fio --name=$name --stonewall $* --exec_prerun=/tmp/begin-$name --exec_postrun=/tmp/end"
	printf '#!/bin/sh\nexec /tmp/gate begin %s\n' "$name" >"/tmp/begin-$name"
	chmod 755 "/tmp/begin-$name"
}

packets() {
	echo $(($(cat /sys/class/net/eth0/statistics/rx_packets) + $(cat /sys/class/net/eth0/statistics/tx_packets)))
}

stream() { # NAME OPTION...: says kbit/s as the receiver saw it, and the packets that passed the driver
	name=$1
	shift
	before=$(packets)
	/tmp/gate begin "$name"
	rate=$(userland iperf3 -c "$net.1" -t "$seconds" -f k "$@" | awk '/receiver/ { print $7 }')
	/tmp/gate end
	say "$name" "$rate $(($(packets) - before))"
}

disk() { # NAME: what fio is told
	case $1 in
	randread-4k-qd1) echo --rw=randread --bs=4k --iodepth=1 ;;
	randread-4k-qd32) echo --rw=randread --bs=4k --iodepth=32 ;;
	read-128k-qd8) echo --rw=read --bs=128k --iodepth=8 ;;
	esac
}

# One fio runs all jobs: to start it costs more than many a phase.
fio="fio --filename=/dev/vda --ioengine=libaio --direct=1 --gtod_reduce=1 --time_based --runtime=$seconds --minimal"
jobs=
for run in $(seq "$runs"); do
	for name in $workloads; do
		options=$(disk "$name")
		[ -z "$options" ] || job "$name" "$options"
	done
done
# For each job: KiB read, and the milliseconds that took.
[ -z "$jobs" ] || userland sh -c "cd /tmp && exec $fio" | awk -F';' 'NF > 50 { print "guest", $3, $6, $9 }'
if [ -n "$net" ]; then
	load virtio_net
	ip addr add "$net.2/24" dev eth0
	ip link set eth0 up
	userland iperf3 -c "$net.1" -n 64K >/dev/null # wakes and warms both ends
	for run in $(seq "$runs"); do
		for name in $workloads; do
			case $name in
			send) stream send ;;
			receive) stream receive -R ;;
			esac
		done
	done
fi
/tmp/gate idle
