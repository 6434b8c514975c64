/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ports of a PC through which a guest resets or powers off, and those that it pokes in vain:
 *
 *	0xCF9  reset control register of PC chipsets: a write with bit 2 (RST_CPU) set resets
 *	0x64   keyboard controller: there is none, but command 0xFE (pulse the reset line) resets
 *	0x600  ACPI sleep control (ACPI 6.5, 4.8.3.7): SLP_EN with the type of \_S5 powers off
 *	0x601  ACPI sleep status: WAK_STS is never set, as no state is woken from
 *	0x70   CMOS, two ports: not there, all ones
 */
#ifndef DEV_RESET_H
#define DEV_RESET_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
#include "dev/end.h"

struct reset;

/* Port 0xCF9 lies inside the PCI host's 0xCF8-0xCFF, which hands on byte accesses to it. */
int reset_new(struct bus *pio, const struct end_sink *sink, struct reset **ret,
	struct lacuna_error **err);
void reset_free(struct reset *r);

/* Any thread. */
uint8_t reset_cf9_read(struct reset *r);
void reset_cf9_write(struct reset *r, uint8_t value);

#endif
