/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that was measured on. */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include <jansson.h>

/* Everything of it that moves figures, as an object; what can't be found out is null. */
json_t *host_describe(void);

/* The same in one line: CPU, kernel, flavour of KVM, and what makes times doubtful. */
void host_line(const json_t *host, char *buf, size_t size);

#endif
