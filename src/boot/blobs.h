/* SPDX-License-Identifier: Apache-2.0 */
/* Binary parts that blobs.S takes in: the compiled acpi/dsdt.asl, and the probe guest (an ELF
 * file). */
#ifndef BOOT_BLOBS_H
#define BOOT_BLOBS_H

#include <stdint.h>

extern const uint8_t boot_dsdt_start[], boot_dsdt_end[];
extern const uint8_t boot_probe_start[], boot_probe_end[];

#endif
