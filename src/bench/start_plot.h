/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_START_PLOT_H
#define BENCH_START_PLOT_H

#include <jansson.h>

/* Draws the charts of a document of `lacuna bench start`; see struct bench_command. */
int start_plot(const char *dir, const json_t *document);

#endif
