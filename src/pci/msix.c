// SPDX-License-Identifier: Apache-2.0
/*
 * MSI-X table, pending bits and vectors (PCIe 5.0, 7.7.2).
 *
 * A vector is signalled by writing its eventfd, and only while it is unmasked; so masking needs no
 * call into the kernel: the eventfd stays connected and is left alone. The route is (re)made at
 * unmasking, and only if the message has changed since.
 */
#include "pci/msix.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "pci/host.h"
#include "pci/regs.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/log.h"
#include "util/thread.h"

#define ENTRY_DATA    8
#define ENTRY_CONTROL 12
#define ENTRY_MASKED  1u

struct vector {
	int fd;           /* eventfd, made at first use */
	int gsi;          /* -1: no route yet */
	uint64_t address; /* of the route */
	uint32_t data;
	bool connected;
};

struct msix {
	struct pci_function *f;
	uint8_t cap, bar;
	unsigned count;
	uint32_t table_offset, pba_offset, pba_size;
	pthread_mutex_t lock; /* all below */
	bool enabled, masked; /* message control */
	bool mastering;
	uint8_t *table; /* as the guest wrote it; vector control reads back bit 0 only */
	uint8_t *pba;
	struct vector *vector;
	struct log_limit limit;
};

static void clear_table(struct msix *m)
{
	memset(m->table, 0, (size_t)m->count * MSIX_ENTRY_SIZE);
	memset(m->pba, 0, m->pba_size);
	for (unsigned i = 0; i < m->count; i++)
		store_le32(&m->table[i * MSIX_ENTRY_SIZE + ENTRY_CONTROL], ENTRY_MASKED);
}

int msix_init(struct pci_function *f, unsigned count, unsigned bar, uint32_t table_offset,
	uint32_t pba_offset, struct lacuna_error **err)
{
	struct msix *m = calloc(1, sizeof(*m));
	if (!m)
		return err_nomem(err);
	m->f = f;
	m->count = count;
	m->bar = (uint8_t)bar;
	m->table_offset = table_offset;
	m->pba_offset = pba_offset;
	m->pba_size = (count + 63) / 64 * 8;
	pthread_mutex_init(&m->lock, NULL);
	m->table = calloc(count, MSIX_ENTRY_SIZE);
	m->pba = calloc(1, m->pba_size);
	m->vector = calloc(count, sizeof(*m->vector));
	f->msix = m;
	for (unsigned i = 0; m->vector && i < count; i++) /* or msix_free() would close what 0 is */
		m->vector[i].fd = m->vector[i].gsi = -1;
	if (!m->table || !m->pba || !m->vector)
		return err_nomem(err); /* freed by pci_function_done() */
	clear_table(m);
	uint8_t body[MSIX_CAP_SIZE - 2];
	store_le16(body, (uint16_t)(count - 1));
	store_le32(body + MSIX_TABLE - 2, table_offset | bar);
	store_le32(body + MSIX_PBA - 2, pba_offset | bar);
	m->cap = pci_function_add_cap(f, PCI_CAP_ID_MSIX, body, MSIX_CAP_SIZE, false);
	if (!m->cap)
		return err_set(err, ENOSPC, "no room for the MSI-X capability");
	pci_config_writable(
		&f->config, m->cap + MSIX_CONTROL, MSIX_CONTROL_ENABLE | MSIX_CONTROL_MASK, 2);
	return 0;
}

void msix_free(struct msix *m)
{
	if (!m)
		return;
	const struct pci_host *host = m->f->host;
	for (unsigned i = 0; m->vector && i < m->count; i++) {
		struct vector *v = &m->vector[i];
		if (v->connected)
			host->config.msi->disconnect(host->config.msi_opaque, v->gsi, v->fd);
		if (v->gsi >= 0)
			host->config.msi->release(host->config.msi_opaque, v->gsi);
		fd_close(&v->fd);
	}
	free(m->vector);
	free(m->table);
	free(m->pba);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

unsigned msix_count(const struct msix *m)
{
	return m ? m->count : 0;
}

bool msix_owns(const struct msix *m, uint64_t offset)
{
	return offset - m->table_offset < (uint64_t)m->count * MSIX_ENTRY_SIZE ||
	       offset - m->pba_offset < m->pba_size;
}

bool msix_enabled(const struct msix *m)
{
	return pci_config_read(&m->f->config, m->cap + MSIX_CONTROL, 2) & MSIX_CONTROL_ENABLE;
}

static bool vector_masked(const struct msix *m, unsigned i)
{
	return m->masked || (m->table[i * MSIX_ENTRY_SIZE + ENTRY_CONTROL] & ENTRY_MASKED);
}

/* Makes the route of an unmasked vector agree with its table entry. */
static int connect_vector(struct msix *m, unsigned i)
{
	struct vector *v = &m->vector[i];
	const uint8_t *entry = &m->table[(size_t)i * MSIX_ENTRY_SIZE];
	uint64_t address = load_le64(entry);
	uint32_t data = load_le32(entry + ENTRY_DATA);
	if (v->connected && v->address == address && v->data == data)
		return 0;
	const struct pci_host_config *host = &m->f->host->config;
	if (!host->msi)
		return -ENOTSUP;
	if (v->fd < 0)
		v->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct lacuna_error *err = NULL;
	int rc = v->fd < 0 ? err_errno(&err, "eventfd")
			   : host->msi->connect(
				     host->msi_opaque, &v->gsi, address, data, v->fd, &err);
	if (rc < 0) {
		log_guest(host->log, &m->limit, m->f->name, "MSI-X vector %u: %s", i,
			lacuna_error_message(err));
		lacuna_error_free(err);
		/* The old message must not be raised in place of the new one. */
		if (v->connected)
			host->msi->disconnect(host->msi_opaque, v->gsi, v->fd);
		v->connected = false;
		return rc;
	}
	v->connected = true;
	v->address = address;
	v->data = data;
	return 0;
}

static void raise_vector(struct msix *m, unsigned i)
{
	if (vector_masked(m, i) || !m->mastering) {
		m->pba[i / 8] |= (uint8_t)(1u << (i % 8));
		return;
	}
	if (m->vector[i].connected)
		eventfd_signal(m->vector[i].fd);
}

/* After anything that may have unmasked vector @i. */
static void update_vector(struct msix *m, unsigned i)
{
	if (!m->enabled || vector_masked(m, i) || connect_vector(m, i) < 0)
		return;
	uint8_t bit = (uint8_t)(1u << (i % 8));
	if (m->mastering && (m->pba[i / 8] & bit)) {
		m->pba[i / 8] &= (uint8_t)~bit;
		raise_vector(m, i);
	}
}

uint64_t msix_read(struct msix *m, uint64_t offset, unsigned size)
{
	LOCK_SCOPE(&m->lock);
	uint64_t at = offset - m->table_offset;
	if (at < (uint64_t)m->count * MSIX_ENTRY_SIZE)
		return size <= (uint64_t)m->count * MSIX_ENTRY_SIZE - at
			       ? load_le(&m->table[at], size)
			       : ones(size);
	at = offset - m->pba_offset;
	return at < m->pba_size && size <= m->pba_size - at ? load_le(&m->pba[at], size)
							    : ones(size);
}

/* Aligned dwords and qwords only; others have no defined effect (PCIe 5.0, 6.1.4.2) and are
 * dropped. The PBA is read-only. */
void msix_write(struct msix *m, uint64_t offset, uint64_t value, unsigned size)
{
	LOCK_SCOPE(&m->lock);
	uint64_t at = offset - m->table_offset;
	if (size < 4 || at % size || at >= (uint64_t)m->count * MSIX_ENTRY_SIZE)
		return;
	unsigned i = (unsigned)(at / MSIX_ENTRY_SIZE);
	store_le(&m->table[at], value, size);
	uint8_t *control = &m->table[i * MSIX_ENTRY_SIZE + ENTRY_CONTROL];
	store_le32(control, load_le32(control) & ENTRY_MASKED);
	update_vector(m, i);
}

static void update_all(struct msix *m)
{
	for (unsigned i = 0; i < m->count; i++)
		update_vector(m, i);
}

void msix_control_written(struct msix *m)
{
	unsigned control = (unsigned)pci_config_read(&m->f->config, m->cap + MSIX_CONTROL, 2);
	LOCK_SCOPE(&m->lock);
	m->enabled = control & MSIX_CONTROL_ENABLE;
	m->masked = control & MSIX_CONTROL_MASK;
	update_all(m);
}

void msix_bus_master(struct msix *m, bool enabled)
{
	LOCK_SCOPE(&m->lock);
	m->mastering = enabled;
	update_all(m);
}

void msix_reset(struct msix *m)
{
	LOCK_SCOPE(&m->lock);
	m->enabled = m->masked = m->mastering = false;
	clear_table(m);
}

bool msix_control_touched(const struct msix *m, unsigned offset, unsigned size)
{
	unsigned control = m->cap + MSIX_CONTROL;
	return offset < control + 2 && control < offset + size;
}

void msix_notify(struct msix *m, unsigned vector)
{
	if (vector >= m->count)
		return;
	LOCK_SCOPE(&m->lock);
	if (m->enabled)
		raise_vector(m, vector);
}
