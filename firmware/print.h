/* SPDX-License-Identifier: Apache-2.0 */
/* Formatted output to the serial port. */
#ifndef FIRMWARE_PRINT_H
#define FIRMWARE_PRINT_H

#include <stdarg.h>

/* Knows %c %s %d %u %x %% with l, z, a width and the flag 0. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
