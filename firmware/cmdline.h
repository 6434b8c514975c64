/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the kernel command line: name=value, or a bare name, separated by blanks. */
#ifndef FIRMWARE_CMDLINE_H
#define FIRMWARE_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies the value of @name ("" if bare or absent; cut to fit) to @ret. False: absent. The last
 * one given counts. */
bool cmdline_get(const char *name, char *ret, size_t size);

/* True when @name was given with exactly @value. */
bool cmdline_is(const char *name, const char *value);

/* Its value as a number, decimal or 0x; @otherwise if absent or not a number. */
uint64_t cmdline_number(const char *name, uint64_t otherwise);

#endif
