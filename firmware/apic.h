/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC in x2APIC mode, and the IOAPIC. */
#ifndef FIRMWARE_APIC_H
#define FIRMWARE_APIC_H

#include <stdint.h>

#define APIC_ICR_INIT    0x4500 /* INIT, assert */
#define APIC_ICR_STARTUP 0x4600 /* | vector: start-up, assert */

/* Switches this processor to x2APIC mode and enables it. */
void apic_enable(void);
uint32_t apic_id(void);
void apic_eoi(void);
void apic_send(uint32_t to, uint32_t command);

/* Routes IOAPIC input @gsi, edge-triggered, to @vector of this processor. */
void ioapic_route(unsigned gsi, unsigned vector);

#endif
