/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One block of LZ4 (lz4 doc/lz4_Block_format.md), unpacked. Of liblz4 a static program would get
 * the packing half too, which is most of its 57 KiB.
 */
#ifndef BOOT_LZ4_H
#define BOOT_LZ4_H

#include <stddef.h>
#include <stdint.h>

#define LZ4_CORRUPT SIZE_MAX

/* Unpacks @data into @ret, which has room for @ret_size bytes: how many it has made, or
 * LZ4_CORRUPT, also when they are more than that. Nothing of @data is trusted. */
size_t lz4_unpack(const uint8_t *data, size_t size, uint8_t *ret, size_t ret_size);

#endif
