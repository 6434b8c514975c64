// SPDX-License-Identifier: Apache-2.0
/* Appending fields to ACPI tables; lengths, pointers and checksums are patched when a table is
 * complete. */
#include "boot/acpi_writer.h"

#include <abi/layout.h>
#include <stdio.h>

#include "util/bytes.h"

#define SDT_LENGTH_OFFSET 4
#define GAS_SYSTEM_IO     1
#define GAS_BYTE_ACCESS   1

#define AML_NAME_OP      0x08
#define AML_ROOT_CHAR    0x5c
#define AML_QWORD_PREFIX 0x0e

static uint8_t *grow(struct acpi_writer *w, size_t len)
{
	struct acpi_tables *t = w->tables;
	if (len > w->capacity - t->size) {
		w->overflow = true;
		return NULL;
	}
	uint8_t *p = t->image + t->size;
	t->size += len;
	return p;
}

void acpi_put(struct acpi_writer *w, uint64_t value, unsigned size)
{
	uint8_t *p = grow(w, size);
	if (p)
		store_le(p, value, size);
}

void acpi_put_bytes(struct acpi_writer *w, const void *data, size_t len)
{
	uint8_t *p = grow(w, len);
	if (p)
		memcpy(p, data, len);
}

void acpi_put_zeros(struct acpi_writer *w, size_t len)
{
	uint8_t *p = grow(w, len);
	if (p)
		memset(p, 0, len);
}

void acpi_put_gas_port(struct acpi_writer *w, uint16_t port)
{
	acpi_put(w, port ? GAS_SYSTEM_IO : 0, 1);
	acpi_put(w, port ? 8 : 0, 1); /* register bit width */
	acpi_put(w, 0, 1);            /* register bit offset */
	acpi_put(w, port ? GAS_BYTE_ACCESS : 0, 1);
	acpi_put(w, port, 8);
}

unsigned acpi_begin(struct acpi_writer *w, const char *name)
{
	struct acpi_tables *t = w->tables;
	if (t->count == ACPI_MAX_TABLES) {
		w->overflow = true;
		return ACPI_MAX_TABLES - 1;
	}
	acpi_put_zeros(w, align_up(t->size, 16) - t->size);
	struct acpi_table *table = &t->table[t->count];
	snprintf(table->name, sizeof(table->name), "%s", name);
	table->offset = t->size;
	table->gpa = LAYOUT_ACPI_BASE + t->size;
	return t->count++;
}

unsigned acpi_begin_sdt(struct acpi_writer *w, const char *signature, unsigned revision)
{
	unsigned index = acpi_begin(w, signature);
	acpi_put_bytes(w, signature, 4);
	acpi_put(w, 0, 4); /* length */
	acpi_put(w, revision, 1);
	acpi_put(w, 0, 1); /* checksum */
	acpi_put_bytes(w, "LACUNA", 6);
	acpi_put_bytes(w, "LACUNAVM", 8);
	acpi_put(w, 1, 4); /* OEM revision */
	acpi_put_bytes(w, "LCNA", 4);
	acpi_put(w, 1, 4); /* creator revision */
	return index;
}

void acpi_end(struct acpi_writer *w, unsigned index)
{
	struct acpi_table *table = &w->tables->table[index];
	table->size = w->tables->size - table->offset;
}

void acpi_end_sdt(struct acpi_writer *w, unsigned index)
{
	acpi_end(w, index);
	acpi_patch(w, index, SDT_LENGTH_OFFSET, w->tables->table[index].size, 4);
}

void acpi_put_aml_integer(struct acpi_writer *w, const char *name, uint64_t value)
{
	acpi_put(w, AML_NAME_OP, 1);
	acpi_put(w, AML_ROOT_CHAR, 1);
	acpi_put_bytes(w, name, 4);
	acpi_put(w, AML_QWORD_PREFIX, 1);
	acpi_put(w, value, 8);
}

void acpi_patch(struct acpi_writer *w, unsigned index, size_t offset, uint64_t value, unsigned size)
{
	const struct acpi_table *table = &w->tables->table[index];
	if (!w->overflow)
		store_le(w->tables->image + table->offset + offset, value, size);
}

void acpi_checksum(struct acpi_writer *w, unsigned index, size_t offset, size_t len)
{
	const struct acpi_table *table = &w->tables->table[index];
	if (w->overflow)
		return;
	uint8_t *p = w->tables->image + table->offset, sum = 0;
	p[offset] = 0;
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	p[offset] = (uint8_t)-sum;
}
