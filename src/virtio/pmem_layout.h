/* SPDX-License-Identifier: Apache-2.0 */
/* What a persistent memory device and its driver exchange (virtio 1.2, 5.19). */
#ifndef VIRTIO_PMEM_LAYOUT_H
#define VIRTIO_PMEM_LAYOUT_H

#include <assert.h>

#include "util/bytes.h"

struct pmem_config {
	le64 start; /* guest-physical */
	le64 size;
};
static_assert(sizeof(struct pmem_config) == 16, "virtio 1.2, 5.19.4");

/* 5.19.6: a request is a le32, the type; so is the answer */
#define PMEM_T_FLUSH 0u
#define PMEM_OK      0u
#define PMEM_FAILED  UINT32_MAX /* -1 */

#endif
