// SPDX-License-Identifier: Apache-2.0
#include "pci_fixture.h"

#include <abi/layout.h>
#include <criterion/criterion.h>

#include "util/err.h"
#include "util/thread.h"

/* --- the interrupt controller --- */

static struct fake_route *route_of(struct fake_msi *m, int gsi)
{
	for (unsigned i = 0; i < m->count; i++)
		if (m->route[i].gsi == gsi)
			return &m->route[i];
	return NULL;
}

static int fake_connect(
	void *opaque, int *gsi, uint64_t addr, uint32_t data, int fd, struct lacuna_error **err)
{
	struct fake_msi *m = opaque;
	LOCK_SCOPE(&m->lock);
	if (m->fail) {
		m->refused++;
		return err_set(err, -m->fail, "made to fail");
	}
	struct fake_route *r = *gsi < 0 ? NULL : route_of(m, *gsi);
	m->misuse += *gsi >= 0 && !r;
	if (!r) {
		if (m->count == m->limit) {
			m->refused++;
			return err_set(err, ENOSPC, "all %u routes are in use", m->limit);
		}
		r = &m->route[m->count];
		*r = (struct fake_route){ .gsi = LAYOUT_GSI_MSI, .fd = -1 };
		while (route_of(m, r->gsi))
			r->gsi++;
		m->count++;
	}
	m->misuse += r->fd >= 0 && r->fd != fd;
	r->addr = addr;
	r->data = data;
	r->fd = fd;
	*gsi = r->gsi;
	m->connects++;
	return 0;
}

static void fake_disconnect(void *opaque, int gsi, int fd)
{
	struct fake_msi *m = opaque;
	LOCK_SCOPE(&m->lock);
	struct fake_route *r = route_of(m, gsi);
	m->disconnects++;
	if (r && r->fd == fd)
		r->fd = -1;
	else
		m->misuse++;
}

static void fake_release(void *opaque, int gsi)
{
	struct fake_msi *m = opaque;
	LOCK_SCOPE(&m->lock);
	struct fake_route *r = route_of(m, gsi);
	m->releases++;
	if (r && r->fd < 0)
		*r = m->route[--m->count];
	else
		m->misuse++; /* unknown, or still connected */
}

static const struct msi_ops fake_msi_ops = { fake_connect, fake_disconnect, fake_release };

/* --- port 0xCF9 --- */

static uint64_t reset_read(void *opaque, uint64_t offset, unsigned size)
{
	struct pci_fixture *fx = opaque;
	fx->reset_reads++;
	return 0x02;
}

static void reset_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct pci_fixture *fx = opaque;
	fx->reset_writes++;
	fx->reset_value = (uint8_t)value;
}

static const struct region_ops reset_ops = { .read = reset_read, .write = reset_write };

/* --- the host --- */

struct pci_host_config fixture_config(struct pci_fixture *fx)
{
	return (struct pci_host_config){
		.buses = 1,
		.type1 = true,
		.ecam = true,
		.windows = { MEM32, MEM32_SIZE, MEM64, MEM64_SIZE },
		.pio = &fx->pio,
		.mmio = &fx->mmio,
		.msi = &fake_msi_ops,
		.msi_opaque = &fx->msi,
		.reset_ops = &reset_ops,
		.reset_opaque = fx,
	};
}

void fixture_init_cold(struct pci_fixture *fx, const struct pci_host_config *config)
{
	struct pci_host_config c = *config;
	memset(fx, 0, sizeof(*fx));
	pthread_mutex_init(&fx->msi.lock, NULL);
	fx->msi.limit = ARRAY_SIZE(fx->msi.route);
	bus_init(&fx->pio);
	bus_init(&fx->mmio);
	cr_assert_eq(pci_host_new(&c, &fx->host, NULL), 0);
}

void fixture_init_with(struct pci_fixture *fx, const struct pci_host_config *config)
{
	fixture_init_cold(fx, config);
	cr_assert_eq(pci_host_power_on(fx->host, NULL), 0);
}

void fixture_init(struct pci_fixture *fx, unsigned buses)
{
	struct pci_host_config c = fixture_config(fx);
	c.buses = buses;
	fixture_init_with(fx, &c);
}

/* Every function has been taken off by now, so nothing may be left behind. */
void fixture_done(struct pci_fixture *fx)
{
	pci_host_free(fx->host);
	cr_expect_eq(fx->pio.count, 0, "a region was left on the port bus");
	cr_expect_eq(fx->mmio.count, 0, "a region was left on the memory bus");
	cr_expect_eq(fx->msi.count, 0, "a route was left behind");
	cr_expect_eq(fx->msi.misuse, 0, "msi_ops were called out of order");
	bus_done(&fx->pio);
	bus_done(&fx->mmio);
	pthread_mutex_destroy(&fx->msi.lock);
}

uint64_t cfg_read(struct pci_fixture *fx, unsigned bdf, unsigned reg, unsigned size)
{
	uint64_t value;
	bus_read(&fx->mmio, LAYOUT_ECAM_BASE + ((uint64_t)bdf << 12) + reg, size, &value);
	return value;
}

void cfg_write(struct pci_fixture *fx, unsigned bdf, unsigned reg, uint64_t value, unsigned size)
{
	bus_write(&fx->mmio, LAYOUT_ECAM_BASE + ((uint64_t)bdf << 12) + reg, value, size);
}

uint64_t port_read(struct pci_fixture *fx, unsigned port, unsigned size)
{
	uint64_t value;
	bus_read(&fx->pio, port, size, &value);
	return value;
}

void port_write(struct pci_fixture *fx, unsigned port, uint64_t value, unsigned size)
{
	bus_write(&fx->pio, port, value, size);
}

/* --- the device --- */

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	return ((struct test_dev *)opaque)->tag;
}

static const struct region_ops bar_ops = { .read = bar_read };

static void cap_written(struct pci_function *f, unsigned offset, unsigned size)
{
	struct test_dev *d = container_of(f, struct test_dev, f);
	d->caps++;
	d->cap_offset = offset;
	d->cap_size = size;
}

static void bar_moved(struct pci_function *f, unsigned bar, uint64_t base)
{
	struct test_dev *d = container_of(f, struct test_dev, f);
	unsigned at = d->moves++ % TEST_MOVES;
	d->move[at].bar = bar;
	d->move[at].base = base;
}

static void bus_master(struct pci_function *f, bool enabled)
{
	struct test_dev *d = container_of(f, struct test_dev, f);
	d->masters++;
	d->master = enabled;
}

static void reset(struct pci_function *f)
{
	struct test_dev *d = container_of(f, struct test_dev, f);
	d->resets++;
}

static const struct pci_function_ops dev_ops = { cap_written, bar_moved, bus_master, reset };

void dev_init(struct test_dev *d, uint64_t tag)
{
	static const struct pci_identity id = {
		.vendor = 0x1af4,
		.device = 0x1044,
		.subsystem_vendor = 0x1234,
		.subsystem = 0x5678,
		.class_code = 0x018000,
		.revision = 3,
	};
	*d = (struct test_dev){ .tag = tag };
	cr_assert_eq(pci_function_init(&d->f, "test", &id, &dev_ops, NULL), 0);
}

void dev_bar(struct test_dev *d, unsigned bar, uint64_t size, bool is_64)
{
	dev_bar_kind(d, bar, size, is_64, is_64);
}

void dev_bar_kind(struct test_dev *d, unsigned bar, uint64_t size, bool is_64, bool prefetchable)
{
	pci_function_add_bar(&d->f, bar, size, is_64, prefetchable, &bar_ops, d);
}

void dev_add(struct pci_fixture *fx, struct test_dev *d)
{
	dev_add_to(fx, d, 0);
}

void dev_add_to(struct pci_fixture *fx, struct test_dev *d, unsigned bus)
{
	struct lacuna_error *err = NULL;
	cr_assert_eq(pci_host_add(fx->host, &d->f, bus, &err), 0, "%s",
		err ? lacuna_error_message(err) : "");
	d->moves = d->masters = d->caps = d->resets = 0;
}

void dev_place(struct pci_fixture *fx, struct test_dev *d, unsigned bdf)
{
	cr_assert_null(fx->host->function[bdf]);
	d->f.host = fx->host;
	d->f.bus = (uint8_t)(bdf >> 8);
	d->f.devfn = (uint8_t)bdf;
	fx->host->function[bdf] = &d->f;
	fx->host->function_count++;
}

unsigned dev_bdf(const struct test_dev *d)
{
	return (unsigned)d->f.bus << 8 | d->f.devfn;
}

uint64_t who(struct pci_fixture *fx, uint64_t addr)
{
	uint64_t value;
	bus_read(&fx->mmio, addr, 4, &value);
	return value == UINT32_MAX ? UINT64_MAX : value;
}
