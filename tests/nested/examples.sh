#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The examples that boot a stock kernel: hello streams its console and returns its exit code; pool hands out runs of a
# payload, cuts off one that takes too long, and leaves nothing behind.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"

# --- hello: what the guest writes to port 0xF4 (which Debian's generic kernel can) is its exit status
flavour=generic
guest_files
status=0
"$BUILD/examples/hello" "$kernel" "$initrd" "console=ttyS0 quiet lacuna.test=exitcode" >"$tmp/hello" 2>"$tmp/hello.err" || status=$?
same "hello: the guest's exit code" 42 "$status"
check "hello: streams the console" grep -q "^$marker" "$tmp/hello"
check "hello: tells how it ended" grep -q "ended by exit-code" "$tmp/hello.err"
status=0
"$BUILD/examples/hello" "$tmp/none" >"$tmp/hello" 2>"$tmp/hello.err" || status=$?
same "hello: no kernel: status" 125 "$status"
check "hello: no kernel: one line says so" grep -qx "hello: kernel '$tmp/none': open: No such file or directory" "$tmp/hello.err"

# --- pool: the payload is a directory over the base archive
flavour=cloud
guest_files devices
mkdir -p "$tmp/payload/tests" "$tmp/payload/payload"
cp "$BUILD/examples/guest/agent" "$tmp/payload/payload/"
cat >"$tmp/payload/tests/pool.sh" <<'GUEST'
. /tests/lib.sh
load vmw_vsock_virtio_transport
/payload/agent sh /payload/job.sh
GUEST
cat >"$tmp/payload/payload/job.sh" <<'GUEST'
read -r line
case $line in
hang) sleep 1000 ;;
fail) exit 3 ;;
*) echo "$line $(echo "$line" | sha256sum | cut -c1-8) $(find /payload | wc -l)" ;;
esac
GUEST
sum() { echo "$1" | sha256sum | cut -c1-8; }
before=$(find /tmp -maxdepth 1 -name 'lacuna-pool-*' | wc -l)
status=0
printf '%s\n' alpha hang fail beta | "$BUILD/examples/pool" "$kernel" "$initrd" "$tmp/payload" \
	"console=ttyS0 quiet lacuna.test=pool" 2 20000 >"$tmp/pool" 2>"$tmp/pool.err" || status=$?
same "pool: some jobs failed" 1 "$status"
same "pool: nothing to complain of" "" "$(cat "$tmp/pool.err")"
check "pool: a job's output" grep -qE "^job 0, .*: exit 0 in .*: alpha $(sum alpha) 3$" "$tmp/pool"
check "pool: one that hangs is cut off" grep -qE "^job 1, .*: cut off after 20000 ms" "$tmp/pool"
check "pool: one that fails" grep -qE "^job 2, .*: exit 3 " "$tmp/pool"
check "pool: in a VM made after another was thrown away" grep -qE "^job 3, .*: exit 0 in .*: beta $(sum beta) 3$" "$tmp/pool"
same "pool: the count" "4 jobs, 2 failed" "$(tail -n 1 "$tmp/pool")"
same "pool: no folder is left" "$before" "$(find /tmp -maxdepth 1 -name 'lacuna-pool-*' | wc -l)"
sed 's/^/# /' "$tmp/pool"
finish
