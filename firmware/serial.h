/* SPDX-License-Identifier: Apache-2.0 */
/* The first serial port, polled. One processor at a time. */
#ifndef FIRMWARE_SERIAL_H
#define FIRMWARE_SERIAL_H

#include <stdbool.h>

/* Registers of a 16550A, from its base port. */
#define SERIAL_DATA 0
#define SERIAL_IER  1
#define SERIAL_IIR  2 /* read */
#define SERIAL_FCR  2 /* write */
#define SERIAL_LCR  3
#define SERIAL_MCR  4
#define SERIAL_LSR  5

#define SERIAL_LSR_DATA_READY 0x01
#define SERIAL_LSR_THR_EMPTY  0x20

#define SERIAL_FIFO 16

void serial_init(void);

/* Waits for room once in SERIAL_FIFO characters, as a driver that knows the FIFO does. */
void serial_put(char c);

/* False when no character waits. */
bool serial_get(char *ret);

/* Returns when everything has been sent. */
void serial_drain(void);

#endif
