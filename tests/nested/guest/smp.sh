# SPDX-License-Identifier: Apache-2.0
# Runs something on each CPU.
. /tests/lib.sh
say cpus "$(nproc)"
cpu=0 worked=0
while [ $cpu -lt "$(nproc)" ]; do
	[ "$(taskset "$(printf %x $((1 << cpu)))" sed -n 's/^Cpus_allowed_list:[^0-9]*//p' /proc/self/status)" = $cpu ] &&
		worked=$((worked + 1))
	cpu=$((cpu + 1))
done
say worked $worked
say clock "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
say apic "$(dmesg | grep -ciE 'x2apic (enabled|mode)|switched APIC routing to.*x2apic')"
