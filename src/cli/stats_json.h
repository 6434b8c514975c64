/* SPDX-License-Identifier: Apache-2.0 */
/* The statistics file: one JSON object, complete or absent. lacuna(1), STATISTICS, is the contract.
 */
#ifndef CLI_STATS_JSON_H
#define CLI_STATS_JSON_H

#include <jansson.h>
#include <lacuna/vm.h>

/* The numbers of @vm, as they are now; NULL when memory is short. The caller owns it. */
json_t *stats_json(const struct lacuna_vm *vm);

/*
 * Opens what is to become @path ("-": standard output), so that a missing folder is told before a
 * machine is made; once per program. STATUS_OK, or STATUS_FAILED after a message.
 */
int stats_file_open(const char *path);

/* Writes the numbers of @vm, which has ended, and puts the file in its place. Nothing if none was
 * opened. */
int stats_file_write(const struct lacuna_vm *vm);

/* Leaves no file behind. Any thread; nothing if none is open. */
void stats_file_discard(void);

#endif
