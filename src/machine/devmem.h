/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the memory of devices is in the guest's physical address space: in what RAM and the host
 * bridge's windows leave free above 4 GiB, up to the last address the CPU reaches. Pure.
 */
#ifndef MACHINE_DEVMEM_H
#define MACHINE_DEVMEM_H

#include <lacuna/error.h>

#include "mem/gmem.h"
#include "pci/host.h"

/* Linux manages memory in sections of 128 MiB; one that RAM and a device share is trouble to old
 * versions. */
#define DEVMEM_ALIGN ((uint64_t)128 << 20)

struct devmem_space {
	struct {
		gpa_t next, end;
	} gap[2]; /* below and above the 64-bit window */
};

void devmem_space_init(struct devmem_space *space, uint64_t ram_size, unsigned phys_bits,
	const struct pci_windows *windows);

/* -ENOSPC when no gap is large enough. */
int devmem_take(struct devmem_space *space, uint64_t size, gpa_t *ret, struct lacuna_error **err);

#endif
