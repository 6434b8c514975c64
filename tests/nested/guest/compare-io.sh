# SPDX-License-Identifier: Apache-2.0
# What tools/compare-io measures. At each "gate begin NAME" and "gate end" on the console the guest waits for a line from the host.
# Words of the command line: io.runs=N times each phase, io.seconds=N long, io.net=A.B.C: an iperf3 server is at A.B.C.1.
. /tests/lib.sh
runs=1 seconds=2 net=
for word in $(cat /proc/cmdline); do
	case $word in
	io.runs=*) runs=${word#*=} ;;
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

fio="fio --filename=/dev/vda --ioengine=libaio --direct=1 --gtod_reduce=1 --time_based --runtime=$seconds --minimal"
for run in $(seq "$runs"); do
	job rand1 --rw=randread --bs=4k --iodepth=1
	job rand32 --rw=randread --bs=4k --iodepth=32
	job seq --rw=read --bs=128k --iodepth=8
done
# For each job: KiB read, and the milliseconds that took.
userland sh -c "cd /tmp && exec $fio" | awk -F';' 'NF > 50 { print "guest", $3, $6, $9 }'
if [ -n "$net" ]; then
	load virtio_net
	ip addr add "$net.2/24" dev eth0
	ip link set eth0 up
	userland iperf3 -c "$net.1" -n 64K >/dev/null # wakes and warms both ends
	for run in $(seq "$runs"); do
		stream send
		stream receive -R
	done
fi
/tmp/gate idle
