// SPDX-License-Identifier: Apache-2.0
/*
 * The built-in guest: enumerates PCI as the machine is configured, tells what it found and what the
 * accesses cost, and powers off. Options on the command line:
 *   probe.scan=linux|all         function 0 of every slot and 1-7 where it is multifunction
 *                                (default), or every function of every bus
 *   probe.mech=auto|ecam|type1   auto: as a kernel chooses that knows the paravirtual bit
 *   probe.pv-bit=N               the bit's number in KVM's feature leaf
 *   probe.passes=N               2: the first pass is cold, the others are warm
 *   probe.bench                  each read is timed, which makes passes slower; the last line tells
 *   probe.hold                   prints "probe: hold ADDRESS" and waits until the dword there is 0:
 *                                twice before the first pass, and after each, so that whoever runs
 *                                it can tell what a pass alone has caused; with probe.bench, the
 *                                last line says where the times are instead of sorting them
 *   probe.quiet                  the last line, and those of probe.hold, only
 * The last line is one JSON object. Ends with exit code 1 when it saw a contradiction.
 */
#include <abi/pvbit.h>
#include <stddef.h>

#include "cmdline.h"
#include "guest.h"
#include "hypervisor.h"
#include "io.h"
#include "measure.h"
#include "pci.h"
#include "print.h"
#include "serial.h"
#include "string.h"

#define FOUND_MAX 4096

struct scan {
	enum pci_mechanism mechanism;
	bool all, quiet, bench, hold;
	struct measure *measure; /* of this pass, with bench */
	unsigned passes;
	unsigned found; /* may exceed FOUND_MAX; bdf[] then holds the first ones */
	uint16_t bdf[FOUND_MAX];
};

struct pass {
	uint64_t reads, ticks;
	unsigned found;
	uint64_t hash; /* over bdf and vendor/device of each function, in order */
};

static struct scan scan;
static volatile uint32_t held;

extern const char _start[], guest_end[];

/* As a kernel chooses that knows the bit: it says that ECAM is sound for every register; without it
 * type 1 is preferred where it works. */
static enum pci_mechanism choose_mechanism(bool bit)
{
	bool ecam = pci.ecam && (bit || !pci.type1);
	if (cmdline_is("probe.mech", "ecam"))
		ecam = true;
	if (cmdline_is("probe.mech", "type1"))
		ecam = false;
	return ecam ? PCI_ECAM : PCI_TYPE1;
}

static uint32_t read(struct pass *pass, unsigned bdf, unsigned offset, unsigned size)
{
	uint32_t v = scan.mechanism == PCI_ECAM ? mem_read(pci_ecam_address(bdf, offset), size)
						: pci_read(PCI_TYPE1, bdf, offset, size);
	if (scan.bench)
		measure_note(scan.measure);
	pass->reads++;
	return v;
}

static void note(struct pass *pass, unsigned bdf)
{
	if (pass->found < FOUND_MAX)
		scan.bdf[pass->found] = bdf;
	pass->found++;
	pass->hash = hash_add(hash_add(pass->hash, bdf), read(pass, bdf, PCI_VENDOR_ID, 4));
}

/* As pci_next(), which can't note the time of each read. */
static unsigned next(struct pass *pass, unsigned bdf, unsigned end, unsigned step)
{
	if (!scan.bench) {
		unsigned hit = pci_next(scan.mechanism, bdf, end, step);
		pass->reads += (hit - bdf + step - 1) / step + (hit < end);
		return hit;
	}
	while (bdf < end && read(pass, bdf, PCI_VENDOR_ID, 4) == PCI_ABSENT)
		bdf += step;
	return bdf < end ? bdf : end;
}

/* Notes every @step-th function from @bdf up to @end. */
static void sweep(struct pass *pass, unsigned bdf, unsigned end, unsigned step, bool functions)
{
	while (bdf < end) {
		unsigned hit = next(pass, bdf, end, step);
		if (hit == end)
			break;
		note(pass, hit);
		if (functions && read(pass, hit, PCI_HEADER_TYPE, 1) & 0x80)
			sweep(pass, hit + 1, hit + 8, 1, false);
		bdf = hit + step;
	}
}

static struct pass run_pass(struct measure *measure)
{
	struct pass pass = { .hash = HASH_START };
	scan.measure = measure;
	measure_start(measure);
	uint64_t start = measure->last;
	sweep(&pass, 0, pci.buses * 256, scan.all ? 1 : 8, !scan.all);
	pass.ticks = rdtsc() - start;
	return pass;
}

static void hold(void)
{
	if (!scan.hold)
		return;
	held = 1;
	print("probe: hold 0x%lx\n", (uint64_t)&held);
	serial_drain();
	while (held)
		;
}

/* So that no pass pays for the first use of its own code. */
static void touch_image(void)
{
	for (const char *at = _start; at < guest_end; at += 4096)
		mem_read((uint64_t)at, 1);
}

/* Nanoseconds, or 0 where the clock's frequency is unknown. */
static uint64_t to_ns(uint64_t ticks, uint64_t khz)
{
	return khz ? ticks / khz * 1000000 + ticks % khz * 1000000 / khz : 0;
}

static void describe(unsigned bdf)
{
	uint32_t id = pci_read(scan.mechanism, bdf, PCI_VENDOR_ID, 4);
	uint32_t class = pci_read(scan.mechanism, bdf, PCI_CLASS_REVISION, 4);
	print("  %02x:%02x.%u %04x:%04x class %06x rev %02x", bdf >> 8, bdf >> 3 & 31, bdf & 7,
		id & 0xffff, id >> 16, class >> 8, class & 0xff);
	bool plain = (pci_read(scan.mechanism, bdf, PCI_HEADER_TYPE, 1) & 0x7f) == 0;
	for (unsigned i = 0; plain && i < 6; i++) {
		struct pci_bar bar = pci_bar_get(bdf, i);
		if (bar.size)
			print(" bar%u 0x%lx+0x%lx", i, bar.base, bar.size);
		if (bar.is_64)
			i++;
	}
	print("\n");
}

/* The headers of all functions found, as the mechanism shows them. */
static uint64_t header_hash(enum pci_mechanism mechanism)
{
	uint64_t hash = HASH_START;
	for (unsigned i = 0; i < scan.found && i < FOUND_MAX; i++) {
		hash = hash_add(hash, scan.bdf[i]);
		for (unsigned offset = 0; offset < 256; offset += 4)
			hash = hash_add(hash, pci_read(mechanism, scan.bdf[i], offset, 4));
	}
	return hash;
}

static int complain(const char *what)
{
	print("probe: CONTRADICTION: %s\n", what);
	return 1;
}

static void report_start(bool bit)
{
	print("lacuna probe: ");
	if (pci.ecam)
		print("%s: ECAM at 0x%lx, %u buses; ", pci.mcfg ? "MCFG" : "device tree",
			pci.ecam_base, pci.buses);
	else
		print("no MCFG, no device tree; ");
	print("type 1 %s; pv bit %s; using %s\n", pci.type1 ? "works" : "absent",
		bit ? "set" : "clear", scan.mechanism == PCI_ECAM ? "ECAM" : "type 1");
}

static void report_pass(unsigned n, const struct pass *p, uint64_t khz)
{
	uint64_t ns = to_ns(p->ticks, khz);
	uint64_t reads = p->reads ? p->reads : 1; /* there is a bus: for the analyser */
	print("probe: pass %u (%s): %u functions, %lu config reads in %lu us, %lu ns (%lu cycles) "
	      "each\n",
		n + 1, n ? "warm" : "cold", p->found, p->reads, ns / 1000, ns / reads,
		p->ticks / reads);
}

/* As a part of the last line. */
static void report_bench(const char *name, const struct pass *p, struct measure *m)
{
	if (scan.hold) {
		print(",\"%s\":{\"reads\":%lu,\"ticks\":%lu,\"samples\":%u,\"at\":\"0x%lx\"}", name,
			p->reads, p->ticks, m->count, (uint64_t)m->sample);
		return;
	}
	struct measured r = measure_sum_up(m);
	print(",\"%s\":{\"reads\":%lu,\"ticks\":%lu,\"p50\":%u,\"p99\":%u,\"max\":%u}", name,
		p->reads, p->ticks, r.p50, r.p99, r.max);
}

int guest_main(void)
{
	char unused[2];
	bool bit =
		kvm_features() >> cmdline_number("probe.pv-bit", KVM_FEATURE_PCI_GO_MMCONFIG) & 1;
	uint64_t khz = tsc_khz();
	struct pass first = { 0 }, last = { 0 };
	struct measure measure[2] = { 0 }; /* of the first pass, and of the last of the others */
	int status = 0;

	pci_init();
	pci_try_type1();
	scan.mechanism = choose_mechanism(bit);
	scan.all = cmdline_is("probe.scan", "all");
	scan.quiet = cmdline_get("probe.quiet", unused, sizeof(unused));
	scan.bench = cmdline_get("probe.bench", unused, sizeof(unused));
	scan.hold = cmdline_get("probe.hold", unused, sizeof(unused));
	scan.passes = cmdline_number("probe.passes", 2);
	for (unsigned i = 0; scan.bench && i < 2; i++)
		measure_init(&measure[i], i);
	if (scan.mechanism == PCI_ECAM && !pci.ecam)
		return complain(
			"ECAM was asked for, and neither MCFG nor a device tree tells of it");
	if (!scan.quiet)
		report_start(bit);

	if (scan.hold)
		touch_image();
	hold();
	hold();
	for (unsigned n = 0; n < scan.passes || !n; n++) {
		last = run_pass(&measure[n > 0]);
		hold();
		if (!n)
			first = last;
		if (!scan.quiet)
			report_pass(n, &last, khz);
		if (last.hash != first.hash)
			status = complain("two passes found different functions");
	}
	scan.found = last.found;
	if (!scan.found)
		status = complain("not even a host bridge was found");
	for (unsigned i = 0; !scan.quiet && i < scan.found && i < FOUND_MAX; i++)
		describe(scan.bdf[i]);

	uint64_t hash = header_hash(scan.mechanism);
	if (!scan.bench && pci.ecam && pci.type1 && header_hash(PCI_ECAM) != header_hash(PCI_TYPE1))
		status = complain("ECAM and type 1 show different headers");
	if (!scan.quiet)
		print("probe: checksum 0x%016lx\n", hash);
	print("{\"probe\":{\"mech\":\"%s\",\"scan\":\"%s\",\"pv_bit\":%s,\"buses\":%u,\"functions\":%u,"
	      "\"reads\":%lu,\"passes\":%u,\"tsc_khz\":%lu,\"cold_ns\":%lu,\"warm_ns\":%lu,"
	      "\"checksum\":\"0x%016lx\",\"ok\":%s",
		scan.mechanism == PCI_ECAM ? "ecam" : "type1", scan.all ? "all" : "linux",
		bit ? "true" : "false", pci.buses, scan.found, first.reads, scan.passes, khz,
		to_ns(first.ticks, khz), to_ns(last.ticks, khz), hash, status ? "false" : "true");
	if (scan.bench) {
		report_bench("cold", &first, &measure[0]);
		report_bench("warm", &last, &measure[scan.passes > 1]);
	}
	print("}}\n");
	if (status)
		return status;
	guest_power_off();
}
