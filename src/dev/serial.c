// SPDX-License-Identifier: Apache-2.0
/*
 * The UART by the PC16550D data sheet (TI SNLS378, section 8). References are to its paragraphs.
 *
 * Interrupts. active() is the set of conditions that hold and are enabled; raised is the part of it
 * that the guest has been interrupted for. A condition that holds, is not in raised and passes
 * OUT2 causes one edge. So whatever makes a condition fall and rise again within one access takes
 * it out of raised, and no edge is lost.
 *
 * Receive timeout (8.6.3, "FIFO timeout interrupt"): bytes come from the chardev in bursts, with
 * nothing behind them, so a FIFO below its trigger level is timed out at once. After the guest has
 * read a byte, it is so again only when a timer has fired: a driver that empties the FIFO sees no
 * further interrupt, one that takes a byte per interrupt sees the next.
 */
#include "dev/serial.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "backend/chardev.h"
#include "loop/loop.h"
#include "util/err.h"
#include "util/ring.h"
#include "util/thread.h"

#define FIFO_SIZE  16
#define TIMEOUT_US 350 /* four characters of ten bits at 115200 baud */

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR, PORTS };

#define IER_RDI  0x01 /* received data */
#define IER_THRI 0x02 /* transmitter holding register empty */
#define IER_RLSI 0x04 /* receiver line status */
#define IER_MSI  0x08 /* modem status */
#define IER_MASK 0x0f

#define IIR_NONE    0x01
#define IIR_MSI     0x00
#define IIR_THRI    0x02
#define IIR_RDI     0x04
#define IIR_RLSI    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO    0xc0

#define FCR_ENABLE        0x01
#define FCR_CLEAR_RX      0x02
#define FCR_CLEAR_TX      0x04
#define FCR_TRIGGER       0xc0
#define FCR_TRIGGER_SHIFT 6

#define LCR_DLAB 0x80

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

#define LSR_DR   0x01
#define LSR_OE   0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define MSR_TERI       0x04
#define MSR_CTS        0x10
#define MSR_DSR        0x20
#define MSR_RI         0x40
#define MSR_DCD        0x80
#define MSR_LINES      0xf0
#define MSR_LINE_SHIFT 4

struct serial {
	struct bus *pio;
	struct region region;
	const struct irqline *irq;
	struct chardev *chardev;
	struct loop_source *timer;
	bool coalesced;
	void (*tx_interrupts)(void *opaque, bool wanted);
	void *opaque;
	atomic_bool due; /* serial_settle() has something to look at */

	pthread_mutex_t lock;
	/* below: under lock */
	uint8_t ier, fcr, lcr, mcr, msr, scr, dll, dlm;
	bool overrun;   /* LSR_OE */
	bool thr_empty; /* the THRI condition: cleared by reading IIR, set by THR becoming empty */
	bool rx_timeout;
	bool timer_armed;
	uint8_t raised; /* IER_* bits */
	struct ring rx, tx;
	uint8_t rx_data[FIFO_SIZE], tx_data[FIFO_SIZE];
};

/* --- interrupts --- */

static size_t fifo_size(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static size_t rx_trigger(const struct serial *s)
{
	static const uint8_t level[] = { 1, 4, 8, 14 };
	return s->fcr & FCR_ENABLE ? level[s->fcr >> FCR_TRIGGER_SHIFT] : 1;
}

static uint8_t active(const struct serial *s)
{
	uint8_t set = 0;
	if (s->overrun)
		set |= IER_RLSI;
	if (s->rx.count >= rx_trigger(s) || (s->rx.count && s->rx_timeout))
		set |= IER_RDI;
	if (s->thr_empty)
		set |= IER_THRI;
	if (s->msr & ~MSR_LINES)
		set |= IER_MSI;
	return set & s->ier;
}

/* On a PC, OUT2 is the switch between the chip and the interrupt line; loopback forces it off. */
static bool line_connected(const struct serial *s)
{
	return (s->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
}

static void update_irq(struct serial *s)
{
	atomic_store_explicit(&s->due, false, memory_order_relaxed);
	uint8_t now = line_connected(s) ? active(s) : 0;
	if (now & ~s->raised)
		irqline_pulse(s->irq);
	s->raised = now;
}

/* --- receiving --- */

/*
 * Until the driver takes interrupts, bytes stay in the chardev and are fetched one at a time as the
 * guest reads them: a driver that clears the FIFO while it sets up the port must not clear away
 * what was typed ahead.
 */
static void rx_fill(struct serial *s)
{
	uint8_t data[FIFO_SIZE];
	if (s->mcr & MCR_LOOP || !(s->ier & IER_RDI) || s->rx.count >= fifo_size(s))
		return;
	size_t n = chardev_read(s->chardev, data, fifo_size(s) - s->rx.count);
	if (n) {
		ring_put(&s->rx, data, n);
		s->rx_timeout = true;
	}
}

static uint8_t rx_pop(struct serial *s)
{
	uint8_t byte = 0;
	if (!s->rx.count && !(s->mcr & MCR_LOOP)) {
		chardev_read(s->chardev, &byte, 1);
		return byte;
	}
	ring_get(&s->rx, &byte, 1);
	s->rx_timeout = false;
	if (s->rx.count < rx_trigger(s))
		s->raised &= (uint8_t)~IER_RDI;
	rx_fill(s);
	if (s->rx.count && !s->rx_timeout && s->rx.count < rx_trigger(s) && !s->timer_armed) {
		s->timer_armed = true;
		loop_arm(s->timer, TIMEOUT_US, 0);
	}
	return byte;
}

static void timed_out(void *opaque)
{
	struct serial *s = opaque;
	LOCK_SCOPE(&s->lock);
	s->timer_armed = false;
	s->rx_timeout = s->rx.count > 0;
	update_irq(s);
}

static void input(void *opaque)
{
	struct serial *s = opaque;
	LOCK_SCOPE(&s->lock);
	rx_fill(s);
	update_irq(s);
}

/* --- sending --- */

static void thr_emptied(struct serial *s)
{
	s->thr_empty = true;
	s->raised &= (uint8_t)~IER_THRI;
}

/* Hands on what waits. */
static void tx_drain(struct serial *s)
{
	size_t len;
	const uint8_t *data;
	while (data = ring_peek(&s->tx, &len), len) {
		size_t n = chardev_write(s->chardev, data, len);
		if (!n)
			return;
		ring_drop(&s->tx, n);
	}
	thr_emptied(s);
}

static void thr_write(struct serial *s, uint8_t byte)
{
	s->thr_empty = false;
	if (s->mcr & MCR_LOOP) {
		/* 8.6.7: sent data is received at once. A FIFO keeps what it has when overrun, a
		 * single register doesn't (8.6.4, bit 1). */
		if (s->rx.count >= fifo_size(s)) {
			s->overrun = true;
			if (!(s->fcr & FCR_ENABLE))
				ring_clear(&s->rx);
		}
		if (s->rx.count < fifo_size(s))
			ring_put(&s->rx, &byte, 1);
		s->rx_timeout = true;
		if (!s->tx.count)
			thr_emptied(s);
		return;
	}
	if (s->tx.count < fifo_size(s)) /* else it is lost: THRE was clear */
		ring_put(&s->tx, &byte, 1);
	tx_drain(s);
}

static void space(void *opaque)
{
	struct serial *s = opaque;
	LOCK_SCOPE(&s->lock);
	if (s->tx.count)
		tx_drain(s);
	update_irq(s);
}

/* --- registers --- */

static void ier_write(struct serial *s, uint8_t value)
{
	uint8_t old = s->ier;
	s->ier = value & IER_MASK;
	/* Switching THRI on while THR is empty interrupts, even if that was acknowledged before. */
	if (s->ier & ~old & IER_THRI && !s->tx.count)
		thr_emptied(s);
	if ((s->ier ^ old) & IER_THRI && s->tx_interrupts)
		s->tx_interrupts(s->opaque, s->ier & IER_THRI);
	rx_fill(s);
}

static void fcr_write(struct serial *s, uint8_t value)
{
	/* 8.6.2: without bit 0 no other counts; changing it clears both FIFOs */
	if (!(value & FCR_ENABLE))
		value = 0;
	if ((value ^ s->fcr) & FCR_ENABLE)
		value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
	if (value & FCR_CLEAR_RX) {
		ring_clear(&s->rx);
		s->rx_timeout = false;
	}
	if (value & FCR_CLEAR_TX && s->tx.count) {
		ring_clear(&s->tx);
		thr_emptied(s);
	}
	s->fcr = value & (FCR_ENABLE | FCR_TRIGGER);
	rx_fill(s);
}

static uint8_t modem_lines(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD; /* somebody is listening */
	return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
			 (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void mcr_write(struct serial *s, uint8_t value)
{
	s->mcr = value & MCR_MASK;
	uint8_t lines = modem_lines(s), changed = (lines ^ s->msr) & MSR_LINES;
	if (changed & lines & MSR_RI)
		changed &= (uint8_t)~MSR_RI; /* bit 2 tells the end of a ring only */
	s->msr = (uint8_t)(lines | (s->msr & ~MSR_LINES) | changed >> MSR_LINE_SHIFT);
	rx_fill(s);
}

static uint8_t iir_read(struct serial *s)
{
	uint8_t set = active(s), id = s->fcr & FCR_ENABLE ? IIR_FIFO : 0;
	if (set & IER_RLSI)
		return id | IIR_RLSI;
	if (set & IER_RDI)
		return id | (s->rx.count >= rx_trigger(s) ? IIR_RDI : IIR_TIMEOUT);
	if (set & IER_THRI) {
		s->thr_empty = false; /* reading it is the acknowledgement */
		return id | IIR_THRI;
	}
	return id | (set & IER_MSI ? IIR_MSI : IIR_NONE);
}

static uint8_t lsr_read(struct serial *s)
{
	uint8_t value = s->tx.count ? 0 : LSR_THRE | LSR_TEMT;
	if (s->rx.count || (!(s->mcr & MCR_LOOP) && chardev_pending(s->chardev)))
		value |= LSR_DR;
	if (s->overrun)
		value |= LSR_OE;
	s->overrun = false;
	return value;
}

static uint8_t msr_read(struct serial *s)
{
	uint8_t value = s->msr;
	s->msr &= MSR_LINES;
	return value;
}

static uint8_t read_register(struct serial *s, uint64_t offset)
{
	bool dlab = s->lcr & LCR_DLAB;
	switch (offset) {
	case RBR_THR:
		return dlab ? s->dll : rx_pop(s);
	case IER:
		return dlab ? s->dlm : s->ier;
	case IIR_FCR:
		return iir_read(s);
	case LCR:
		return s->lcr;
	case MCR:
		return s->mcr;
	case LSR:
		return lsr_read(s);
	case MSR:
		return msr_read(s);
	default:
		return s->scr;
	}
}

static uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
	struct serial *s = opaque;
	LOCK_SCOPE(&s->lock);
	uint8_t value = read_register(s, offset);
	update_irq(s);
	return value;
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value64, unsigned size)
{
	struct serial *s = opaque;
	uint8_t value = (uint8_t)value64;
	LOCK_SCOPE(&s->lock);
	bool dlab = s->lcr & LCR_DLAB;
	switch (offset) {
	case RBR_THR:
		if (dlab) {
			s->dll = value;
			return;
		}
		thr_write(s, value);
		if (s->coalesced) {
			atomic_store_explicit(&s->due, true, memory_order_relaxed);
			return;
		}
		break;
	case IER:
		if (dlab)
			s->dlm = value;
		else
			ier_write(s, value);
		break;
	case IIR_FCR:
		fcr_write(s, value);
		break;
	case LCR:
		s->lcr = value;
		break;
	case MCR:
		mcr_write(s, value);
		break;
	case SCR:
		s->scr = value;
		break;
	default:
		break; /* LSR and MSR: for factory tests only */
	}
	update_irq(s);
}

void serial_settle(struct serial *s)
{
	if (!atomic_load_explicit(&s->due, memory_order_relaxed))
		return; /* whoever replayed the writes calls this too, after them */
	LOCK_SCOPE(&s->lock);
	update_irq(s);
}

/* --- life --- */

static const struct region_ops serial_ops = {
	.read = serial_read, .write = serial_write, .min_size = 1, .max_size = 1
};

static const struct chardev_client chardev_client = { .input = input, .space = space };

int serial_new(const struct serial_params *params, struct serial **ret, struct lacuna_error **err)
{
	struct serial *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(err);
	s->pio = params->pio;
	s->irq = params->irq;
	s->chardev = params->chardev;
	s->coalesced = params->coalesced;
	s->tx_interrupts = params->tx_interrupts;
	s->opaque = params->opaque;
	s->rx = (struct ring){ .data = s->rx_data, .size = FIFO_SIZE };
	s->tx = (struct ring){ .data = s->tx_data, .size = FIFO_SIZE };
	s->dll = 1; /* 115200 baud */
	s->msr = modem_lines(s);
	s->region = (struct region){ .name = "serial",
		.base = params->base,
		.size = PORTS,
		.ops = &serial_ops,
		.opaque = s,
		.class = REGION_SERIAL };
	pthread_mutex_init(&s->lock, NULL);
	int rc = loop_add_timer(params->loop, timed_out, s, &s->timer, err);
	if (!rc)
		rc = bus_add(s->pio, &s->region, err);
	if (rc) {
		serial_free(s);
		return rc;
	}
	chardev_attach(s->chardev, &chardev_client, s);
	*ret = s;
	return 0;
}

void serial_free(struct serial *s)
{
	if (!s)
		return;
	bus_remove(s->pio, &s->region);
	chardev_detach(s->chardev);
	loop_remove(s->timer);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
