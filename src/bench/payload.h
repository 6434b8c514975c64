/* SPDX-License-Identifier: Apache-2.0 */
/* Guests of a few bytes, for what is measured before a guest does anything. */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "bench/bench.h"

/* The first instruction writes AL to the exit port (LAYOUT_PORT_EXIT_CODE); then it halts. */
extern const uint8_t payload_exit[];
extern const size_t payload_exit_size;

/* Writes a byte to the serial port and halts. */
extern const uint8_t payload_halt[];
extern const size_t payload_halt_size;

/* A file in memory, named by a path that programs of the same user can open, too, while this one
 * lives. */
struct payload {
	int fd;
	char path[64];
};

/* An ELF64 image at LAYOUT_KERNEL, entered at its first byte through the PVH note, in protected
 * mode without paging. -1 after why_set(). */
int payload_elf(struct payload *p, const uint8_t *code, size_t size, struct why *why);

/* Firmware of 64 KiB with the code at the reset vector; at most 16 bytes of it. */
int payload_firmware(struct payload *p, const uint8_t *code, size_t size, struct why *why);

/* @size bytes of nothing. */
int payload_blank(struct payload *p, const char *name, uint64_t size, struct why *why);

void payload_close(struct payload *p); /* fd -1: nothing */

#endif
