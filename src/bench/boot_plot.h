/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BOOT_PLOT_H
#define BENCH_BOOT_PLOT_H

#include <jansson.h>

/* Draws the charts of a document of `lacuna bench boot`; see struct bench_command. */
int boot_plot(const char *dir, const json_t *document);

#endif
