// SPDX-License-Identifier: Apache-2.0
/* Classes of returns. */
#include "bench/boot_counts.h"

#include <lacuna/vm.h>
#include <string.h>

#include "bench/result.h"

#define WINDOW_SIZE UINT64_C(0x10000000)

enum { RETURNS, PORTS, MMIO, EXITS };

const struct tracepoint boot_tracepoints[BOOT_TRACEPOINTS] = {
	[RETURNS] = { "kvm_userspace_exit", "reason", 0 },
	[PORTS] = { "kvm_pio", "port,rw", 16384 },
	[MMIO] = { "kvm_mmio", "gpa,type", 65536 },
	[EXITS] = { "kvm_exit", "exit_reason,isa", 0 },
};

/* linux/kvm.h, KVM_EXIT_*; trace/events/kvm.h, KVM_TRACE_MMIO_*. */
enum { EXIT_IO = 2, EXIT_MMIO = 6 };
enum { MMIO_READ_UNSATISFIED = 0, MMIO_WRITE = 2 };

uint64_t boot_counts_pci(const struct boot_counts *c)
{
	return c->config_read + c->config_write + c->window_read + c->window_write;
}

/* --- the tracepoints --- */

static void add_return(void *opaque, const struct tracepoint_hits *h)
{
	struct boot_counts *c = &((struct boot_tally *)opaque)->counts;
	c->returns += h->hits;
	reasons_add(&c->by_reason, lacuna_exit_reason_name((unsigned)h->key[0]), h->hits);
	if (h->key[0] == EXIT_IO)
		c->io += h->hits;
	if (h->key[0] == EXIT_MMIO)
		c->mmio += h->hits;
}

/* The PICs, their trigger modes, the PIT and its gate. */
static bool is_kvms(uint64_t port)
{
	return (port & ~UINT64_C(0x81)) == 0x20 || (port & ~UINT64_C(1)) == 0x4d0 ||
	       (port >= 0x40 && port <= 0x43) || port == 0x61;
}

static void add_port(void *opaque, const struct tracepoint_hits *h)
{
	struct boot_tally *t = opaque;
	struct boot_counts *c = &t->counts;
	uint64_t port = h->key[0];
	bool write = h->key[1];
	if (!is_kvms(port))
		t->accesses += h->hits;
	if (port >= 0xcf8 && port <= 0xcff && write)
		c->config_write += h->hits;
	else if (port >= 0xcf8 && port <= 0xcff)
		c->config_read += h->hits;
	else if (port >= 0x3f8 && port <= 0x3ff)
		c->serial += h->hits;
	else if (port == 0x70 || port == 0x71)
		c->cmos += h->hits;
	if (port >= 0xcf8 && port <= 0xcfb && write)
		t->address += h->hits;
}

/* A read that KVM leaves to the monitor is told twice: when it does, and with the answer. */
static void add_mmio(void *opaque, const struct tracepoint_hits *h)
{
	struct boot_tally *t = opaque;
	if (!t->window || h->key[0] - t->window >= WINDOW_SIZE)
		return;
	if (h->key[1] == MMIO_READ_UNSATISFIED)
		t->counts.window_read += h->hits;
	if (h->key[1] == MMIO_WRITE)
		t->counts.window_write += h->hits;
}

static void add_exit(void *opaque, const struct tracepoint_hits *h)
{
	char name[REASON_NAME];
	reason_of_cpu(h->key[1], h->key[0], name);
	reasons_add(&((struct boot_tally *)opaque)->counts.exits, name, h->hits);
}

tracepoint_fn *const boot_tally_add[BOOT_TRACEPOINTS] = {
	[RETURNS] = add_return,
	[PORTS] = add_port,
	[MMIO] = add_mmio,
	[EXITS] = add_exit,
};

void boot_tally_end(struct boot_tally *t)
{
	uint64_t io = t->counts.io, gathered = t->accesses > io ? t->accesses - io : 0;
	t->counts.config_write -= gathered < t->address ? gathered : t->address;
}

int boot_counts_read(
	struct tracepoints *t, uint64_t window, struct boot_counts *ret, struct why *why)
{
	struct boot_tally tally = { .window = window };
	for (size_t i = 0; i < BOOT_TRACEPOINTS; i++)
		if (tracepoints_read(t, i, boot_tally_add[i], &tally, why) < 0)
			return -1;
	boot_tally_end(&tally);
	*ret = tally.counts;
	return 0;
}

/* --- lacuna's own --- */

static uint64_t number(const json_t *stats, const char *path)
{
	json_int_t n = json_integer_value(result_get(stats, path));
	return n > 0 ? (uint64_t)n : 0;
}

bool boot_counts_own(const json_t *stats, struct boot_counts *ret)
{
	*ret = (struct boot_counts){
		.returns = number(stats, "exits.total"),
		.io = number(stats, "exits.by_reason.io"),
		.mmio = number(stats, "exits.by_reason.mmio"),
		.config_read = number(stats, "exits.pci_config.type1_read"),
		.config_write = number(stats, "exits.pci_config.type1_write"),
		.window_read = number(stats, "exits.pci_config.ecam_read"),
		.window_write = number(stats, "exits.pci_config.ecam_write"),
		.serial = number(stats, "exits.pio.serial"),
		.cmos = number(stats, "exits.pio.cmos"),
		.absent = number(stats, "exits.pci_config.absent"),
	};
	const char *name;
	json_t *hits;
	json_object_foreach(result_get(stats, "exits.by_reason"), name, hits)
	{
		if (json_integer_value(hits) > 0)
			reasons_add(&ret->by_reason, name, (uint64_t)json_integer_value(hits));
	}
	return json_is_integer(result_get(stats, "exits.total"));
}

bool boot_counts_agree(const struct boot_counts *traced, const struct boot_counts *own)
{
	return traced->returns == own->returns && traced->io == own->io &&
	       traced->mmio == own->mmio && traced->config_read == own->config_read &&
	       traced->window_read == own->window_read;
}
