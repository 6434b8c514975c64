// SPDX-License-Identifier: Apache-2.0
/*
 * The UART as a driver sees it. Interrupts are counted exactly: the line is an eventfd, so its
 * value is the number of edges. The guest's side is a bus, the outside a pair of pipes.
 */
#include "dev/serial.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/chardev.h"
#include "bus/bus.h"
#include "loop/loop.h"
#include "util/bytes.h"

TestSuite(serial, .timeout = 30);

#define BASE 0x3f8

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define THR RBR
#define FCR IIR

#define OUT2 0x08
#define LOOP 0x10

struct uart {
	struct loop *loop;
	struct chardev *c;
	struct bus pio;
	struct irqline irq;
	struct serial *s;
	int keyboard, screen; /* our ends of the pipes */
	int tx_wanted;        /* -1: not told */
};

static void tx_interrupts(void *opaque, bool wanted)
{
	((struct uart *)opaque)->tx_wanted = wanted;
}

static void uart_init(struct uart *u, bool coalesced)
{
	int in[2], out[2];
	*u = (struct uart){ .tx_wanted = -1 };
	cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	fcntl(out[1], F_SETPIPE_SZ, 4096);
	u->keyboard = in[1];
	u->screen = out[0];
	u->irq.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	cr_assert_eq(loop_new(&u->loop, NULL), 0);
	bus_init(&u->pio);
	struct chardev_params c = {
		.loop = u->loop, .name = "serial", .in_fd = in[0], .out_fd = out[1]
	};
	cr_assert_eq(chardev_new(&c, &u->c, NULL), 0);
	struct serial_params s = { .pio = &u->pio,
		.base = BASE,
		.irq = &u->irq,
		.chardev = u->c,
		.loop = u->loop,
		.coalesced = coalesced,
		.tx_interrupts = tx_interrupts,
		.opaque = u };
	cr_assert_eq(serial_new(&s, &u->s, NULL), 0);
	cr_assert_eq(loop_start(u->loop, NULL), 0);
}

static void uart_done(struct uart *u)
{
	serial_free(u->s);
	cr_expect_eq(u->pio.count, 0u);
	chardev_free(u->c);
	bus_done(&u->pio);
	loop_free(u->loop);
}

static uint8_t in(struct uart *u, unsigned reg)
{
	uint64_t value = 0;
	cr_expect_eq(bus_read(&u->pio, BASE + reg, 1, &value), REGION_SERIAL);
	return (uint8_t)value;
}

static void out(struct uart *u, unsigned reg, uint8_t value)
{
	cr_expect_eq(bus_write(&u->pio, BASE + reg, value, 1), REGION_SERIAL);
}

/* Edges since the last call. */
static unsigned edges(struct uart *u)
{
	uint64_t count = 0;
	return read(u->irq.fd, &count, sizeof(count)) > 0 ? (unsigned)count : 0;
}

static unsigned wait_for_edge(struct uart *u)
{
	struct pollfd p = { .fd = u->irq.fd, .events = POLLIN };
	poll(&p, 1, -1);
	return edges(u);
}

static void type(struct uart *u, const char *text, size_t len)
{
	cr_assert_eq(write(u->keyboard, text, len), (ssize_t)len);
}

/* Until the loop has brought @len bytes from the keyboard as far as the chardev. */
static void wait_for_typed(struct uart *u, size_t len)
{
	while (chardev_pending(u->c) < len)
		sched_yield();
}

static void expect_screen(struct uart *u, const char *text)
{
	char data[64];
	size_t len = strlen(text);
	for (size_t done = 0; done < len;) {
		ssize_t n = read(u->screen, data, len - done);
		cr_assert_gt(n, 0);
		cr_assert_arr_eq(data, text + done, (size_t)n);
		done += (size_t)n;
	}
}

/* --- registers --- */

struct reset_case {
	unsigned reg;
	uint8_t value;
};

ParameterizedTestParameters(serial, after_reset)
{
	static struct reset_case c[] = { { RBR, 0 }, { IER, 0 }, { IIR, 0x01 }, { LCR, 0 },
		{ MCR, 0 }, { LSR, 0x60 }, { MSR, 0xb0 }, { SCR, 0 } };
	return cr_make_param_array(struct reset_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct reset_case *c, serial, after_reset)
{
	struct uart u;
	uart_init(&u, false);
	cr_expect_eq(in(&u, c->reg), c->value);
	cr_expect_eq(edges(&u), 0u);
	uart_done(&u);
}

struct keep_case {
	unsigned reg;
	uint8_t written, read;
};

ParameterizedTestParameters(serial, what_registers_keep)
{
	static struct keep_case c[] = { { IER, 0xff, 0x0f }, { IER, 0xa5, 0x05 },
		{ IIR, 0x01, 0xc1 }, { IIR, 0xff, 0xc1 }, { IIR, 0xc6, 0x01 }, { LCR, 0xff, 0xff },
		{ LCR, 0xbf, 0xbf }, { MCR, 0xff, 0x1f }, { MCR, 0xe0, 0x00 }, { LSR, 0x00, 0x60 },
		{ MSR, 0x00, 0xb0 }, { SCR, 0x5a, 0x5a }, { SCR, 0xff, 0xff } };
	return cr_make_param_array(struct keep_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct keep_case *c, serial, what_registers_keep)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, c->reg, c->written);
	cr_expect_eq(in(&u, c->reg), c->read);
	uart_done(&u);
}

Test(serial, divisor_latch_hides_data_and_interrupt_enable)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, IER, 0x05);
	out(&u, LCR, 0x83);
	out(&u, RBR, 0x0c);
	out(&u, IER, 0x12);
	cr_expect_eq(in(&u, RBR), 0x0c);
	cr_expect_eq(in(&u, IER), 0x12);
	out(&u, LCR, 0x03);
	cr_expect_eq(in(&u, IER), 0x05);
	out(&u, THR, '!'); /* the first byte to be seen */
	expect_screen(&u, "!");
	uart_done(&u);
}

/* 8250_port.c, autoconfig(): what it takes to be a 16550A and nothing cleverer. */
Test(serial, linux_finds_a_16550a)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, IER, 0);
	cr_expect_eq(in(&u, IER) & 0x0f, 0);
	out(&u, IER, 0x0f);
	cr_expect_eq(in(&u, IER) & 0x0f, 0x0f);
	out(&u, IER, 0);
	out(&u, MCR, LOOP | 0x0a);
	cr_expect_eq(in(&u, MSR) & 0xf0, 0x90);
	out(&u, MCR, 0);
	out(&u, LCR, 0xbf);
	out(&u, FCR, 0); /* would be EFR */
	out(&u, LCR, 0);
	out(&u, FCR, 0x01);
	cr_expect_eq(in(&u, IIR) >> 6, 3);
	out(&u, LCR, 0x80);
	cr_expect_neq(in(&u, IIR), 0); /* no EFR of an XR16C85x */
	out(&u, LCR, 0xe0);
	cr_expect_eq((in(&u, IIR) ^ in(&u, MCR)) & LOOP, 0); /* no EXCR1 of a National SuperIO */
	out(&u, LCR, 0);
	out(&u, FCR, 0x01);
	cr_expect_eq(in(&u, IIR) >> 5, 6);
	out(&u, FCR, 0);
	out(&u, LCR, 0x80);
	out(&u, FCR, 0x21);
	cr_expect_eq(in(&u, IIR) >> 5, 6); /* no 64-byte FIFO of a TI16750 */
	out(&u, LCR, 0);
	out(&u, IER, 0x40);
	cr_expect_eq(in(&u, IER), 0); /* no PXA */
	cr_expect_eq(edges(&u), 0u);
	uart_done(&u);
}

Test(serial, wide_accesses_are_taken_apart)
{
	struct uart u;
	uint64_t value;
	uart_init(&u, false);
	bus_write(&u.pio, BASE + LCR, 0x0a03, 2); /* LCR and MCR */
	cr_expect_eq(in(&u, LCR), 0x03);
	cr_expect_eq(in(&u, MCR), 0x0a);
	bus_read(&u.pio, BASE + MSR, 2, &value);
	cr_expect_eq(value, 0x00b0u);
	uart_done(&u);
}

/* --- sending --- */

Test(serial, bytes_leave_in_order)
{
	struct uart u;
	uart_init(&u, false);
	for (const char *p = "Hello, world\r\n"; *p; p++) {
		cr_expect_eq(in(&u, LSR), 0x60);
		out(&u, THR, (uint8_t)*p);
	}
	expect_screen(&u, "Hello, world\r\n");
	uart_done(&u);
}

Test(serial, transmit_interrupt)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, MCR, OUT2);
	out(&u, THR, 'a');
	cr_expect_eq(edges(&u), 0u);
	cr_expect_eq(in(&u, IIR), 0x01); /* not enabled, not shown */
	out(&u, IER, 0x02);
	cr_expect_eq(u.tx_wanted, 1);
	cr_expect_eq(edges(&u), 1u);
	cr_expect_eq(in(&u, IIR), 0x02);
	cr_expect_eq(in(&u, IIR), 0x01, "reading IIR acknowledges");
	out(&u, THR, 'b');
	cr_expect_eq(edges(&u), 1u);
	out(&u, THR, 'c'); /* fell and rose before anybody looked: an edge of its own */
	cr_expect_eq(edges(&u), 1u);
	cr_expect_eq(in(&u, IIR), 0x02);
	in(&u, LSR);
	in(&u, MSR);
	cr_expect_eq(edges(&u), 0u);
	out(&u, IER, 0x00);
	cr_expect_eq(u.tx_wanted, 0);
	out(&u, IER, 0x02); /* 8250_port.c tests this: THRE interrupts again when enabled again */
	cr_expect_eq(edges(&u), 1u);
	cr_expect_eq(in(&u, IIR), 0x02);
	u.tx_wanted = -1;
	out(&u, IER, 0x03);
	cr_expect_eq(u.tx_wanted, -1, "told of changes only");
	cr_expect_eq(edges(&u), 0u);
	uart_done(&u);
}

Test(serial, replayed_writes_interrupt_when_settled)
{
	struct uart u;
	uart_init(&u, true);
	out(&u, MCR, OUT2);
	out(&u, IER, 0x02);
	cr_expect_eq(edges(&u), 1u);
	cr_expect_eq(in(&u, IIR), 0x02);
	for (int i = 0; i < 16; i++)
		out(&u, THR, 'x');
	cr_expect_eq(edges(&u), 0u);
	serial_settle(u.s); /* the exit was about something else */
	cr_expect_eq(edges(&u), 1u);
	serial_settle(u.s);
	cr_expect_eq(edges(&u), 0u);

	for (int i = 0; i < 16; i++)
		out(&u, THR, 'y');
	cr_expect_eq(in(&u, IIR), 0x02); /* the exit was this: nothing is left to tell */
	serial_settle(u.s);
	cr_expect_eq(edges(&u), 0u);

	out(&u, THR, 'z');
	cr_expect_eq(in(&u, LSR), 0x60); /* the exit was another register: told at once */
	cr_expect_eq(edges(&u), 1u);
	expect_screen(&u, "xxxxxxxxxxxxxxxxyyyyyyyyyyyyyyyyz");
	uart_done(&u);
}

Test(serial, full_outside_holds_the_transmitter)
{
	struct uart u;
	size_t sent = 0;
	uart_init(&u, false);
	out(&u, FCR, 0x01);
	out(&u, MCR, OUT2);
	while (in(&u, LSR) & 0x20) {
		out(&u, THR, (uint8_t)('a' + sent % 26));
		sent++;
	}
	cr_expect_eq(in(&u, LSR), 0);
	cr_expect_gt(sent, 65536u);
	out(&u, IER, 0x02);
	cr_expect_eq(in(&u, IIR), 0xc1, "not empty, so no interrupt");
	cr_expect_eq(edges(&u), 0u);
	for (int i = 0; i < 15; i++, sent++) /* the FIFO still takes 15 */
		out(&u, THR, (uint8_t)('a' + sent % 26));
	out(&u, THR, '!'); /* one too many */

	for (size_t done = 0; done < sent;) {
		char data[4096];
		ssize_t n = read(u.screen, data, sizeof(data));
		cr_assert_gt(n, 0);
		for (ssize_t i = 0; i < n; i++)
			cr_assert_eq(data[i], 'a' + (char)((done + (size_t)i) % 26));
		done += (size_t)n;
	}
	cr_expect_eq(wait_for_edge(&u), 1u);
	cr_expect_eq(in(&u, IIR), 0xc2);
	cr_expect_eq(in(&u, LSR), 0x60);
	uart_done(&u);
}

Test(serial, clearing_the_transmit_fifo_drops_what_waits)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, FCR, 0x01);
	while (in(&u, LSR) & 0x20)
		out(&u, THR, 'a');
	out(&u, FCR, 0x05);
	cr_expect_eq(in(&u, LSR), 0x60);
	uart_done(&u);
}

/* --- receiving --- */

struct level_case {
	uint8_t fcr, bytes, iir; /* iir: what is told when they are there */
};

ParameterizedTestParameters(serial, fifo_levels)
{
	static struct level_case c[] = {
		{ 0x00, 1, 0x04 },
		{ 0x01, 1, 0xc4 },
		{ 0x01, 16, 0xc4 },
		{ 0x41, 1, 0xcc },
		{ 0x41, 3, 0xcc },
		{ 0x41, 4, 0xc4 },
		{ 0x81, 7, 0xcc },
		{ 0x81, 8, 0xc4 },
		{ 0xc1, 13, 0xcc },
		{ 0xc1, 14, 0xc4 },
		{ 0xc1, 16, 0xc4 },
	};
	return cr_make_param_array(struct level_case, c, ARRAY_SIZE(c));
}

/* Typed ahead, then taken by a driver that enables interrupts; one edge, all bytes, no more. */
ParameterizedTest(struct level_case *c, serial, fifo_levels)
{
	struct uart u;
	uart_init(&u, false);
	type(&u, "0123456789abcdef", c->bytes);
	wait_for_typed(&u, c->bytes);
	out(&u, FCR, c->fcr);
	out(&u, MCR, OUT2);
	cr_expect_eq(edges(&u), 0u);
	out(&u, IER, 0x01);
	cr_expect_eq(edges(&u), 1u);
	cr_expect_eq(in(&u, IIR), c->iir);
	for (unsigned i = 0; i < c->bytes; i++) {
		cr_expect_eq(in(&u, LSR), 0x61);
		cr_expect_eq(in(&u, RBR), "0123456789abcdef"[i]);
	}
	cr_expect_eq(in(&u, LSR), 0x60);
	cr_expect_eq(in(&u, IIR) & 0x3f, 0x01);
	uart_done(&u);
}

Test(serial, typed_key_interrupts)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, FCR, 0x81);
	out(&u, MCR, OUT2);
	out(&u, IER, 0x05);
	for (int i = 0; i < 5; i++) {
		type(&u, "k", 1);
		cr_expect_eq(wait_for_edge(&u), 1u);
		cr_expect_eq(in(&u, IIR), 0xcc);
		cr_expect_eq(in(&u, RBR), 'k');
		cr_expect_eq(in(&u, IIR), 0xc1);
	}
	uart_done(&u);
}

/* A driver that takes one byte per interrupt gets one interrupt per byte: without FIFO since the
 * next byte follows, below the trigger level by the timeout. */
ParameterizedTestParameters(serial, one_byte_per_interrupt)
{
	static uint8_t fcr[] = { 0x00, 0x81, 0xc1 };
	return cr_make_param_array(uint8_t, fcr, ARRAY_SIZE(fcr));
}

ParameterizedTest(uint8_t *fcr, serial, one_byte_per_interrupt)
{
	struct uart u;
	uart_init(&u, false);
	type(&u, "ring", 4);
	wait_for_typed(&u, 4);
	out(&u, FCR, *fcr);
	out(&u, MCR, OUT2);
	out(&u, IER, 0x01);
	for (int i = 0; i < 4; i++) {
		cr_expect_eq(wait_for_edge(&u), 1u);
		cr_expect_eq(in(&u, RBR), "ring"[i]);
	}
	cr_expect_eq(in(&u, LSR), 0x60);
	uart_done(&u);
}

Test(serial, setting_up_the_port_does_not_eat_typed_input)
{
	struct uart u;
	uart_init(&u, false);
	type(&u, "root\n", 5);
	wait_for_typed(&u, 5);
	cr_expect_eq(in(&u, LSR), 0x61);
	out(&u, FCR, 0x01);
	out(&u, FCR, 0x07);
	out(&u, FCR, 0x00);
	out(&u, FCR, 0x81);
	out(&u, MCR, LOOP | 0x0b);
	cr_expect_eq(in(&u, LSR), 0x60);
	cr_expect_eq(in(&u, RBR), 0);
	out(&u, MCR, 0x0b);
	for (int i = 0; i < 5; i++) { /* polled, without interrupts */
		cr_expect_eq(in(&u, LSR), 0x61);
		cr_expect_eq(in(&u, RBR), "root\n"[i]);
	}
	cr_expect_eq(in(&u, LSR), 0x60);
	cr_expect_eq(edges(&u), 0u);
	uart_done(&u);
}

Test(serial, long_input_passes_through_the_fifo)
{
	struct uart u;
	char text[3000];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 23);
	uart_init(&u, false);
	out(&u, FCR, 0x81);
	out(&u, MCR, OUT2);
	out(&u, IER, 0x01);
	type(&u, text, sizeof(text));
	for (size_t i = 0; i < sizeof(text);) {
		wait_for_edge(&u);
		while (!(in(&u, IIR) & 1))
			while (i < sizeof(text) && in(&u, LSR) & 1)
				cr_assert_eq(in(&u, RBR), text[i++]);
	}
	cr_expect_eq(in(&u, LSR), 0x60);
	uart_done(&u);
}

Test(serial, clearing_the_receive_fifo)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, FCR, 0x81);
	out(&u, MCR, OUT2);
	type(&u, "0123456789", 10);
	wait_for_typed(&u, 10);
	out(&u, IER, 0x01);
	cr_expect_eq(in(&u, RBR), '0');
	out(&u, FCR, 0x83);
	cr_expect_eq(in(&u, LSR), 0x60);
	cr_expect_eq(in(&u, IIR), 0xc1);
	uart_done(&u);
}

/* --- priorities, loopback, OUT2 --- */

/* All four conditions hold; IIR shows them one after the other as each is seen to. */
Test(serial, priorities)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, FCR, 0xc1);
	out(&u, MCR, LOOP);
	for (int i = 0; i < 17; i++) /* one more than fits: overrun */
		out(&u, THR, (uint8_t)i);
	out(&u, IER, 0x0f);
	cr_expect_eq(in(&u, IIR), 0xc6);
	cr_expect_eq(in(&u, IIR), 0xc6);
	cr_expect_eq(in(&u, LSR), 0x63);
	cr_expect_eq(in(&u, LSR), 0x61);
	cr_expect_eq(in(&u, IIR), 0xc4);
	for (int i = 0; i < 16; i++)
		cr_expect_eq(in(&u, RBR), i, "the FIFO keeps what it had");
	cr_expect_eq(in(&u, IIR), 0xc2);
	cr_expect_eq(in(&u, IIR), 0xc0); /* modem lines fell when loopback began */
	cr_expect_eq(in(&u, MSR), 0x0b);
	cr_expect_eq(in(&u, IIR), 0xc1);
	uart_done(&u);
}

Test(serial, overrun_without_fifo_keeps_the_last_byte)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, MCR, LOOP);
	out(&u, THR, 'a');
	out(&u, THR, 'b');
	cr_expect_eq(in(&u, LSR), 0x63);
	cr_expect_eq(in(&u, RBR), 'b');
	cr_expect_eq(in(&u, LSR), 0x60);
	uart_done(&u);
}

struct modem_case {
	uint8_t mcr, msr;
};

ParameterizedTestParameters(serial, loopback_modem_lines)
{
	static struct modem_case c[] = { { 0x10, 0x00 }, { 0x11, 0x20 }, { 0x12, 0x10 },
		{ 0x14, 0x40 }, { 0x18, 0x80 }, { 0x1a, 0x90 }, { 0x1f, 0xf0 }, { 0x0f, 0xb0 } };
	return cr_make_param_array(struct modem_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct modem_case *c, serial, loopback_modem_lines)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, MCR, c->mcr);
	cr_expect_eq(in(&u, MSR) & 0xf0, c->msr);
	cr_expect_eq(in(&u, MSR) & 0x0f, 0, "deltas are cleared by reading");
	uart_done(&u);
}

Test(serial, modem_deltas)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, MCR, LOOP | 0x04);
	in(&u, MSR);
	out(&u, MCR, LOOP | 0x02);
	cr_expect_eq(in(&u, MSR), 0x10 | 0x01 | 0x04); /* CTS changed, a ring ended */
	out(&u, MCR, LOOP | 0x06);
	cr_expect_eq(in(&u, MSR), 0x50); /* a ring that begins is no delta */
	out(&u, MCR, LOOP | 0x05);
	out(&u, MCR, LOOP | 0x06); /* back again, and still told */
	cr_expect_eq(in(&u, MSR), 0x50 | 0x03);
	uart_done(&u);
}

Test(serial, loopback_stays_inside)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, FCR, 0x01);
	out(&u, MCR, LOOP | OUT2);
	out(&u, IER, 0x03);
	out(&u, THR, 'i');
	out(&u, THR, 'n');
	cr_expect_eq(in(&u, IIR), 0xc4);
	cr_expect_eq(edges(&u), 0u, "loopback disconnects the line");
	cr_expect_eq(in(&u, RBR), 'i');
	cr_expect_eq(in(&u, RBR), 'n');
	out(&u, MCR, OUT2);
	cr_expect_eq(edges(&u), 1u, "THRI held all the time");
	out(&u, THR, 'o');
	expect_screen(&u, "o"); /* and nothing before it */
	uart_done(&u);
}

Test(serial, out2_connects_the_line)
{
	struct uart u;
	uart_init(&u, false);
	out(&u, IER, 0x02);
	cr_expect_eq(edges(&u), 0u);
	out(&u, MCR, OUT2);
	cr_expect_eq(edges(&u), 1u);
	out(&u, MCR, 0x0b);
	cr_expect_eq(edges(&u), 0u);
	out(&u, MCR, 0);
	out(&u, MCR, OUT2);
	cr_expect_eq(edges(&u), 1u);
	uart_done(&u);
}

Test(serial, taken_ports_are_an_error)
{
	struct uart u;
	struct serial *second = NULL;
	struct chardev *c;
	struct lacuna_error *err = NULL;
	uart_init(&u, false);
	struct chardev_params params = { .loop = u.loop, .name = "x", .in_fd = -1, .out_fd = -1 };
	cr_assert_eq(chardev_new(&params, &c, NULL), 0);
	struct serial_params s = {
		.pio = &u.pio, .base = BASE + 4, .irq = &u.irq, .chardev = c, .loop = u.loop
	};
	cr_expect_eq(serial_new(&s, &second, &err), -EEXIST);
	cr_expect_null(second);
	cr_expect_not_null(err);
	lacuna_error_free(err);
	chardev_free(c);
	serial_free(NULL);
	uart_done(&u);
}
