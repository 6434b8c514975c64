// SPDX-License-Identifier: Apache-2.0
/*
 * Writes the device tree: Devicetree Specification 0.4; for PCI the bindings host-generic-pci and
 * pci-msi of Linux's Documentation/devicetree/bindings, IEEE 1275's "PCI Bus Binding" 2.1 and "ISA
 * Bus Binding" 0.4; for what only an x86 has its interrupt-controller/intel,ce4100-*.
 */
#include "boot/fdt.h"

#include <abi/layout.h>
#include <assert.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/bytes.h"
#include "util/err.h"

/* Phandles */
#define IOAPIC 1
#define MSI    2

/* First cell of a PCI address: IEEE 1275 PCI 2.1, 2.2.1.1. Neither window is prefetchable, or BARs
 * that are not could not be placed in it. */
#define PCI_SPACE_MEM32 0x02000000
#define PCI_SPACE_MEM64 0x03000000
#define PCI_FUNCTIONS   0x10000 /* of 256 buses: all requester ids */

#define ISA_SPACE_IO 1
#define ISA_IO_SIZE  0x10000

/* The second cell of an interrupt: what Linux's arch/x86/kernel/devicetree.c takes for a rising
 * edge. The binding's text has 0 for that; KVM's IOAPIC does not look at the polarity. */
#define IOAPIC_EDGE_RISING 3

#define SERIAL_PATH  "/soc/isa@0/serial@3f8"
#define SERIAL_CLOCK 1843200
#define SERIAL_SPEED 115200
#define STDOUT_PATH  SERIAL_PATH ":115200n8"
#define APIC_REGS    0x1000 /* registers of either APIC: one page */

static_assert(LAYOUT_PORT_SERIAL == 0x3f8, "SERIAL_PATH");

/* A number in two cells */
#define CELLS64(value) (uint32_t)((uint64_t)(value) >> 32), (uint32_t)(value)

/* libfdt's sequential writer, and its first error: the calls in between need no check. */
struct writer {
	void *fdt;
	int error;
};

static void note(struct writer *w, int rc)
{
	if (rc < 0 && !w->error)
		w->error = rc;
}

static void begin(struct writer *w, const char *name)
{
	note(w, fdt_begin_node(w->fdt, name));
}

/* A node with a unit address */
static void begin_at(struct writer *w, const char *name, uint64_t address)
{
	char full[64];
	snprintf(full, sizeof(full), "%s@%llx", name, (unsigned long long)address);
	begin(w, full);
}

static void end(struct writer *w)
{
	note(w, fdt_end_node(w->fdt));
}

static void put(struct writer *w, const char *name, const void *value, size_t size)
{
	note(w, fdt_property(w->fdt, name, value, (int)size));
}

static void put_text(struct writer *w, const char *name, const char *value)
{
	put(w, name, value, strlen(value) + 1);
}

static void put_flag(struct writer *w, const char *name)
{
	put(w, name, NULL, 0);
}

static void put_cell(struct writer *w, const char *name, uint32_t value)
{
	note(w, fdt_property_u32(w->fdt, name, value));
}

static void put_cells(struct writer *w, const char *name, const uint32_t *cells, size_t count)
{
	fdt32_t *to = NULL;
	note(w, fdt_property_placeholder(
			w->fdt, name, (int)(count * sizeof(*to)), (void **)(void *)&to));
	for (size_t i = 0; to && i < count; i++)
		fdt32_st(to + i, cells[i]);
}

#define PUT_CELLS(w, name, ...)                               \
	put_cells(w, name, (const uint32_t[]){ __VA_ARGS__ }, \
		sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

/* How children are addressed: their reg has so many cells of address and of size. */
static void put_addressing(struct writer *w, uint32_t address_cells, uint32_t size_cells)
{
	put_cell(w, "#address-cells", address_cells);
	put_cell(w, "#size-cells", size_cells);
}

/* --- the nodes --- */

/* Devicetree Specification 3.6. Linux on x86 goes by boot_params for the first three, and so do
 * not rely on them alone. */
static void put_chosen(struct writer *w, const struct dtb_config *c)
{
	begin(w, "chosen");
	if (*c->cmdline)
		put_text(w, "bootargs", c->cmdline);
	if (c->initrd_size) {
		/* below 4 GiB, as boot_load() places it */
		put_cell(w, "linux,initrd-start", (uint32_t)c->initrd);
		put_cell(w, "linux,initrd-end", (uint32_t)(c->initrd + c->initrd_size));
	}
	if (c->serial)
		put_text(w, "stdout-path", STDOUT_PATH);
	/* As _DSM function 5 of the DSDT says: BARs and bridge windows are set, and moving them
	 * costs config writes. */
	put_cell(w, "linux,pci-probe-only", 1);
	end(w);
}

static void put_aliases(struct writer *w, const struct dtb_config *c)
{
	if (!c->serial)
		return;
	begin(w, "aliases");
	put_text(w, "serial0", SERIAL_PATH);
	end(w);
}

/* 3.4: RAM as E820 has it, so that both agree on what is RAM. */
static void put_memory(struct writer *w, const struct e820 *e820)
{
	uint32_t reg[E820_MAX * 4];
	size_t cells = 0;
	for (unsigned i = 0; i < e820->count; i++) {
		const struct e820_entry *e = &e820->entry[i];
		const uint32_t range[] = { CELLS64(e->base), CELLS64(e->size) };
		if (e->type != E820_RAM)
			continue;
		memcpy(reg + cells, range, sizeof(range));
		cells += ARRAY_SIZE(range);
	}
	begin_at(w, "memory", e820->entry[0].base);
	put_text(w, "device_type", "memory");
	put_cells(w, "reg", reg, cells);
	end(w);
}

/* 3.5: all that E820 has and that is no RAM */
static void put_reserved(struct writer *w, const struct e820 *e820)
{
	begin(w, "reserved-memory");
	put_addressing(w, 2, 2);
	put_flag(w, "ranges");
	for (unsigned i = 0; i < e820->count; i++) {
		const struct e820_entry *e = &e820->entry[i];
		if (e->type == E820_RAM)
			continue;
		begin_at(w, e->base == LAYOUT_ECAM_BASE ? "ecam" : "firmware", e->base);
		PUT_CELLS(w, "reg", CELLS64(e->base), CELLS64(e->size));
		put_flag(w, "no-map");
		end(w);
	}
	end(w);
}

/* Linux's x86/ce4100 binding, the only one for these: reg is the local APIC's id. No enable-method:
 * INIT and start-up messages are the only way there is. */
static void put_cpus(struct writer *w, unsigned cpus)
{
	begin(w, "cpus");
	put_addressing(w, 1, 0);
	for (unsigned i = 0; i < cpus; i++) {
		begin_at(w, "cpu", i);
		put_text(w, "device_type", "cpu");
		put_text(w, "compatible", "intel,ce4100");
		put_cell(w, "reg", i);
		end(w);
	}
	end(w);
}

static void put_apic(struct writer *w, const char *compatible, uint64_t base)
{
	begin_at(w, "interrupt-controller", base);
	put_text(w, "compatible", compatible);
	PUT_CELLS(w, "reg", CELLS64(base), CELLS64(APIC_REGS));
	put_flag(w, "interrupt-controller");
	put_cell(w, "#interrupt-cells", 2);
	put_cell(w, "#address-cells", 0); /* no unit address in an interrupt-map (2.4.3.1) */
}

static void put_apics(struct writer *w)
{
	put_apic(w, "intel,ce4100-ioapic", LAYOUT_IOAPIC_BASE);
	put_cell(w, "phandle", IOAPIC);
	end(w);

	put_apic(w, "intel,ce4100-lapic", LAYOUT_LAPIC_BASE);
	/* How a processor starts here. Linux 6.2 and later then does not try to leave PIC mode. */
	put_flag(w, "intel,virtual-wire-mode");
	end(w);
}

/*
 * The UART in I/O space. An x86 has no address for that space: Linux takes what "ranges" makes of a
 * port number for the port again (drivers/of/address.c, pci_address_to_pio), so they are the same.
 */
static void put_serial(struct writer *w)
{
	begin_at(w, "isa", 0);
	put_text(w, "compatible", "isa");
	put_text(w, "device_type", "isa");
	put_addressing(w, 2, 1);
	PUT_CELLS(w, "ranges", ISA_SPACE_IO, 0, CELLS64(0), ISA_IO_SIZE);

	begin_at(w, "serial", LAYOUT_PORT_SERIAL);
	put_text(w, "compatible", "ns16550a");
	PUT_CELLS(w, "reg", ISA_SPACE_IO, LAYOUT_PORT_SERIAL, 8);
	PUT_CELLS(w, "interrupts", LAYOUT_GSI_SERIAL, IOAPIC_EDGE_RISING);
	put_cell(w, "clock-frequency", SERIAL_CLOCK);
	put_cell(w, "current-speed", SERIAL_SPEED);
	end(w);
	end(w);
}

/*
 * Every function reaches the one MSI controller, whose messages carry no requester id. msi-map and
 * not msi-parent: Linux sets PCI_BUS_FLAGS_NO_MSI on a host bridge that has neither msi-map nor an
 * interrupt domain of its controller (drivers/pci/probe.c), and no x86 controller has one.
 */
static void put_pci(struct writer *w, const struct dtb_config *c)
{
	const uint64_t pci32 = LAYOUT_PCI32_BASE;
	const uint32_t ranges[] = { PCI_SPACE_MEM32, CELLS64(pci32), CELLS64(pci32),
		CELLS64(LAYOUT_PCI32_SIZE), PCI_SPACE_MEM64, CELLS64(c->pci64_base),
		CELLS64(c->pci64_base), CELLS64(c->pci64_size) };
	begin_at(w, "pcie", LAYOUT_ECAM_BASE);
	put_text(w, "compatible", "pci-host-ecam-generic");
	put_text(w, "device_type", "pci");
	put_addressing(w, 3, 2);
	PUT_CELLS(w, "bus-range", 0, c->buses - 1);
	PUT_CELLS(w, "reg", CELLS64(LAYOUT_ECAM_BASE),
		CELLS64((uint64_t)c->buses * LAYOUT_ECAM_BUS_SIZE));
	put_cells(w, "ranges", ranges, ARRAY_SIZE(ranges) / (c->pci64_size ? 1 : 2));
	PUT_CELLS(w, "msi-map", 0, MSI, 0, PCI_FUNCTIONS);
	put_flag(w, "dma-coherent");
	end(w);
}

/* Linux on x86 makes devices of what is below a node of this kind, and of nothing else
 * (arch/x86/kernel/devicetree.c, add_bus_probe). */
static void put_soc(struct writer *w, const struct dtb_config *c)
{
	static const char compatible[] = "intel,ce4100-cp\0simple-bus";
	begin(w, "soc");
	put(w, "compatible", compatible, sizeof(compatible));
	put_addressing(w, 2, 2);
	put_cell(w, "interrupt-parent", IOAPIC);
	put_flag(w, "ranges");
	put_apics(w);
	if (c->serial)
		put_serial(w);
	put_pci(w, c);
	end(w);
}

/*
 * Messages go to addresses 0xFEExxxxx (Intel SDM volume 3, 11.11.1), no device's registers: a node
 * without an address. The binding of the local APIC, whose place it would be, allows no
 * msi-controller.
 */
static void put_msi(struct writer *w)
{
	begin(w, "msi-controller");
	put_text(w, "compatible", "lacuna,x86-msi");
	put_flag(w, "msi-controller");
	put_cell(w, "#msi-cells", 1);
	put_cell(w, "phandle", MSI);
	end(w);
}

static void put_root(struct writer *w, const struct dtb_config *c)
{
	begin(w, "");
	put_text(w, "compatible", "lacuna,vm");
	put_text(w, "model", "lacuna");
	put_addressing(w, 2, 2);
	put_chosen(w, c);
	put_aliases(w, c);
	put_memory(w, c->e820);
	put_reserved(w, c->e820);
	put_cpus(w, c->cpus);
	put_msi(w);
	put_soc(w, c);
	end(w);
}

int dtb_build(const struct dtb_config *config, struct dtb *ret, struct lacuna_error **err)
{
	const int capacity = LAYOUT_FDT_MAX - DTB_SETUP_DATA_HEADER;
	struct writer w = { .fdt = malloc((size_t)capacity) };
	if (!w.fdt)
		return err_nomem(err);
	note(&w, fdt_create(w.fdt, capacity));
	note(&w, fdt_finish_reservemap(w.fdt));
	put_root(&w, config);
	note(&w, fdt_finish(w.fdt));
	if (w.error) {
		free(w.fdt);
		return err_set(err, E2BIG, "the device tree for %u processors: %s", config->cpus,
			fdt_strerror(w.error));
	}
	*ret = (struct dtb){ .data = w.fdt, .size = fdt_totalsize(w.fdt) };
	return 0;
}

void dtb_done(struct dtb *dtb)
{
	free(dtb->data);
	*dtb = (struct dtb){ 0 };
}
