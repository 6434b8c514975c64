/* SPDX-License-Identifier: Apache-2.0 */
/* What `lacuna bench io` has found, as rows and figures of its document. */
#ifndef BENCH_IO_ROWS_H
#define BENCH_IO_ROWS_H

#include <jansson.h>

#include "bench/io_guest.h"

struct io_results {
	const struct list *workloads, *monitors; /* asked for */
	uint64_t runs, idle;                     /* of each phase; seconds at rest */
	struct io_guest guest[IO_MONITORS];
	bool has_net, has_trace;
	struct why why_net, why_trace; /* why not */
};

void io_rows_add(json_t *document, const struct io_results *r);

#endif
