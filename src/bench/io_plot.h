/* SPDX-License-Identifier: Apache-2.0 */
/* Charts of `lacuna bench io`. */
#ifndef BENCH_IO_PLOT_H
#define BENCH_IO_PLOT_H

#include <jansson.h>

/* Draws them below @dir. STATUS_OK, or what fail() returned. */
int io_plot(const char *dir, const json_t *document);

#endif
