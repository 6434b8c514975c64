// SPDX-License-Identifier: Apache-2.0
/* The first serial port: a 16550A (National Semiconductor PC16550D), polled. */
#include "serial.h"

#include <abi/layout.h>

#include "io.h"

static unsigned room; /* bytes that fit without asking again */

static void wait_empty(void)
{
	while (!(in8(LAYOUT_PORT_SERIAL + SERIAL_LSR) & SERIAL_LSR_THR_EMPTY))
		;
}

void serial_init(void)
{
	out8(LAYOUT_PORT_SERIAL + SERIAL_IER, 0);
	out8(LAYOUT_PORT_SERIAL + SERIAL_FCR, 0x07); /* enable and clear both FIFOs */
	out8(LAYOUT_PORT_SERIAL + SERIAL_LCR, 0x03); /* 8n1 */
	out8(LAYOUT_PORT_SERIAL + SERIAL_MCR, 0x0b); /* DTR, RTS, OUT2: the interrupt's gate */
}

void serial_put(char c)
{
	if (!room) {
		wait_empty();
		room = SERIAL_FIFO;
	}
	room--;
	out8(LAYOUT_PORT_SERIAL + SERIAL_DATA, c);
}

bool serial_get(char *ret)
{
	if (!(in8(LAYOUT_PORT_SERIAL + SERIAL_LSR) & SERIAL_LSR_DATA_READY))
		return false;
	*ret = in8(LAYOUT_PORT_SERIAL + SERIAL_DATA);
	return true;
}

void serial_drain(void)
{
	wait_empty();
	room = SERIAL_FIFO;
}
