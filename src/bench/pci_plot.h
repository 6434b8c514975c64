/* SPDX-License-Identifier: Apache-2.0 */
/* The chart of `lacuna bench pci`. */
#ifndef BENCH_PCI_PLOT_H
#define BENCH_PCI_PLOT_H

#include <jansson.h>

/* Draws it below @dir. STATUS_OK, or what fail() returned. */
int pci_plot(const char *dir, const json_t *document);

#endif
