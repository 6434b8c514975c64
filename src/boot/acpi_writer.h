/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appends little-endian fields to the image of the ACPI tables, in the order in which the
 * specification lists them. Writing past the end is remembered and reported once, at the end, so
 * that the calls in between need no check.
 */
#ifndef BOOT_ACPI_WRITER_H
#define BOOT_ACPI_WRITER_H

#include "boot/acpi.h"

struct acpi_writer {
	struct acpi_tables *tables;
	size_t capacity;
	bool overflow;
};

void acpi_put(struct acpi_writer *w, uint64_t value, unsigned size);
void acpi_put_bytes(struct acpi_writer *w, const void *data, size_t len);
void acpi_put_zeros(struct acpi_writer *w, size_t len);

/* Generic Address Structure of one byte-wide I/O port (ACPI 6.5, 5.2.3.2); port 0: an empty one. */
void acpi_put_gas_port(struct acpi_writer *w, uint16_t port);

/* Begins a table (16-byte aligned) without or with the common header of 5.2.6; returns its index in
 * tables->table. */
unsigned acpi_begin(struct acpi_writer *w, const char *name);
unsigned acpi_begin_sdt(struct acpi_writer *w, const char *signature, unsigned revision);
/* Ends it: its size is known, and for an SDT written to the header. */
void acpi_end(struct acpi_writer *w, unsigned index);
void acpi_end_sdt(struct acpi_writer *w, unsigned index);

/* AML of Name (\NAME, value): ACPI 6.5, 20.2.5.1. @name has four characters. */
void acpi_put_aml_integer(struct acpi_writer *w, const char *name, uint64_t value);

/* Overwrites the @size bytes at @offset of the table; only for fields that were appended before. */
void acpi_patch(
	struct acpi_writer *w, unsigned index, size_t offset, uint64_t value, unsigned size);
/* Makes bytes [0, len) of the table add up to 0, through the byte at @offset. */
void acpi_checksum(struct acpi_writer *w, unsigned index, size_t offset, size_t len);

#endif
