/* SPDX-License-Identifier: Apache-2.0 */
/* What a traditional memory balloon and its driver exchange (virtio 1.2, 5.5). */
#ifndef VIRTIO_BALLOON_LAYOUT_H
#define VIRTIO_BALLOON_LAYOUT_H

#include <assert.h>
#include <stddef.h>

#include "util/bytes.h"

/* 5.5.3 */
#define BALLOON_F_STATS_VQ       (1ull << 1)
#define BALLOON_F_DEFLATE_ON_OOM (1ull << 2)
#define BALLOON_F_PAGE_POISON    (1ull << 4)
#define BALLOON_F_REPORTING      (1ull << 5)

/* 5.5.2; hints of free pages (queue 3) are not offered */
enum { BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_STATS, BALLOON_HINTS, BALLOON_REPORTING };

#define BALLOON_PAGE 4096u /* 5.5.6: what a page number counts, whatever the guest's pages are */

struct balloon_config {
	le32 num_pages; /* what the host wants in the balloon */
	le32 actual;    /* what is there; the driver's */
	le32 free_page_hint_cmd_id;
	le32 poison_val; /* the driver's */
};
static_assert(sizeof(struct balloon_config) == 16, "virtio 1.2, 5.5.4");

/* 5.5.6.3: one statistic in a buffer of them */
#define BALLOON_STAT_SIZE 10u /* tag: le16; value: le64 */

#endif
