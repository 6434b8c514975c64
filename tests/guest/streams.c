// SPDX-License-Identifier: Apache-2.0
/*
 * Much output, and input sent back, for whoever is at the other end of a stream: stream=serial,
 * console (the only one) or port (number 1 of two).
 *
 *   test=print   bytes=N of a pattern, then ends at once, whatever is still under way;
 *                with hello, it says so at the serial port before, and waits for an answer
 *
 *   test=echo    says "ready", sends back what it receives, ends with exit code 0 after a 'q'
 */
#include <abi/layout.h>

#include "cmdline.h"
#include "guest.h"
#include "io.h"
#include "pci.h"
#include "print.h"
#include "serial.h"
#include "string.h"
#include "virtio.h"

#define F_MULTIPORT 2
#define CONTROL_RX  2
#define CONTROL_TX  3

#define DEVICE_READY 0
#define DEVICE_ADD   1
#define PORT_READY   3
#define PORT_OPEN    6

#define BUFFER  128
#define BUFFERS 32
#define PIECE   40000u /* more than one of them fills whatever there is */
#define STAMP   8u     /* of these, the number of the piece */
#define PIECES  (VIRTQ_SIZE / 2)

struct message {
	uint32_t id;
	uint16_t event, value;
} __attribute__((packed));

static volatile struct virtq control_rx_queue, control_tx_queue, rx_queue, tx_queue;
static struct virtio control_rx, control_tx, rx, tx;
static uint8_t control_buffer[BUFFERS][BUFFER], rx_buffer[BUFFERS][BUFFER];
static uint8_t stamp[PIECES][STAMP], text[PIECE];
static struct message message;
static bool serial;

static int fail(const char *what)
{
	print("FAILED: %s\n", what);
	return 1;
}

/* Pieces differ in the stamp only, for filling them is slow where a CPU is played by software. */
static void make_text(void)
{
	for (uint32_t i = 0; i < PIECE; i++)
		text[i] = (uint8_t)('a' + (i * 7 + i / 251) % 26);
}

static void make_stamp(uint8_t *ret, uint32_t n)
{
	for (unsigned i = STAMP; i > 0; i--, n /= 10)
		ret[i - 1] = (uint8_t)('0' + n % 10);
}

/* --- the console device --- */

static void offer(struct virtio *v, uint8_t buffers[BUFFERS][BUFFER], unsigned i)
{
	virtq_set(v->queue, i, (uint64_t)buffers[i], BUFFER, VIRTQ_WRITE, 0);
	virtio_submit(v, (uint16_t)i);
}

static void use(struct virtio *v, unsigned index, volatile struct virtq *queue)
{
	v->index = index;
	virtio_set_queue(v, queue);
}

static bool say(uint32_t id, uint16_t event)
{
	uint32_t len;
	message = (struct message){ id, event, 1 };
	virtq_set(&control_tx_queue, 0, (uint64_t)&message, sizeof(message), 0, 0);
	virtio_submit(&control_tx, 0);
	return virtio_wait(&control_tx, &len);
}

/* Until port 1 has been added. */
static bool wait_for_port(void)
{
	struct message m = { 0 };
	uint32_t len;
	while (m.event != DEVICE_ADD || m.id != 1) {
		if (!virtio_wait(&control_rx, &len))
			return false;
		unsigned id =
			control_rx_queue.used.ring[(control_rx_queue.seen - 1) % VIRTQ_SIZE].id;
		memcpy(&m, control_buffer[id], sizeof(m));
		offer(&control_rx, control_buffer, id);
	}
	return true;
}

static bool start(bool port)
{
	pci_init();
	if (!virtio_find(&rx, VIRTIO_ID_CONSOLE) ||
		!virtio_negotiate(&rx, VIRTIO_F_VERSION_1 | (port ? F_MULTIPORT : 0)))
		return false;
	control_rx = control_tx = tx = rx;
	if (port) {
		use(&control_rx, CONTROL_RX, &control_rx_queue);
		use(&control_tx, CONTROL_TX, &control_tx_queue);
	}
	use(&rx, port ? 4 : 0, &rx_queue);
	use(&tx, port ? 5 : 1, &tx_queue);
	virtio_add_status(&rx, VIRTIO_STATUS_DRIVER_OK);
	for (unsigned i = 0; i < BUFFERS; i++)
		offer(&rx, rx_buffer, i);
	if (!port)
		return true;
	for (unsigned i = 0; i < BUFFERS; i++)
		offer(&control_rx, control_buffer, i);
	return say(0, DEVICE_READY) && wait_for_port() && say(1, PORT_READY) && say(1, PORT_OPEN);
}

static bool open_stream(void)
{
	serial = cmdline_is("stream", "serial");
	return serial || start(cmdline_is("stream", "port"));
}

/* --- output --- */

/* Piece @n, whose stamp is free again once the device has given back the one before in its place:
 * all are used in turn. */
static bool put_piece(uint32_t n, uint32_t len)
{
	uint32_t written;
	unsigned i = n % PIECES, first = 2 * i;
	if (n >= PIECES && !virtio_wait(&tx, &written))
		return false;
	make_stamp(stamp[i], n);
	uint32_t head = len < STAMP ? len : STAMP;
	virtq_set(&tx_queue, first, (uint64_t)stamp[i], head, len > head ? VIRTQ_NEXT : 0,
		(uint16_t)(first + 1));
	virtq_set(&tx_queue, first + 1, (uint64_t)text + head, len - head, 0, 0);
	virtio_submit(&tx, (uint16_t)first);
	return true;
}

static void print_piece(uint32_t n, uint32_t len)
{
	make_stamp(text, n);
	for (uint32_t i = 0; i < len; i++)
		serial_put((char)text[i]);
}

static int test_print(void)
{
	uint32_t bytes = (uint32_t)cmdline_number("bytes", 0), n = 0;
	char hello[8], c;
	if (!open_stream())
		return fail("no stream");
	if (cmdline_get("hello", hello, sizeof(hello))) {
		print("hello\n");
		serial_drain(); /* now it is with the host */
		while (!serial_get(&c))
			__asm__ volatile("pause");
	}
	make_text();
	for (uint32_t at = 0, len; at < bytes; at += len, n++) {
		len = bytes - at < PIECE ? bytes - at : PIECE;
		if (serial)
			print_piece(n, len);
		else if (!put_piece(n, len))
			return fail("output");
	}
	out8(LAYOUT_PORT_EXIT_CODE, 0);
	guest_hang();
}

/* --- input --- */

static bool send(const uint8_t *data, uint32_t len)
{
	uint32_t written;
	for (uint32_t i = 0; i < len && serial; i++)
		serial_put((char)data[i]);
	if (serial)
		return true;
	virtq_set(&tx_queue, 0, (uint64_t)data, len, 0, 0);
	virtio_submit(&tx, 0);
	return virtio_wait(&tx, &written);
}

/* What comes next is sent back; true when a 'q' was among it. */
static bool send_back(void)
{
	char c = 0;
	uint32_t len;
	if (serial) {
		while (!serial_get(&c))
			__asm__ volatile("pause");
		serial_put(c);
		return c == 'q';
	}
	if (!virtio_wait(&rx, &len))
		guest_exit(1);
	unsigned id = rx_queue.used.ring[(rx_queue.seen - 1) % VIRTQ_SIZE].id;
	bool end = false;
	for (uint32_t i = 0; i < len; i++)
		end |= rx_buffer[id][i] == 'q';
	send(rx_buffer[id], len);
	offer(&rx, rx_buffer, id);
	return end;
}

static int test_echo(void)
{
	if (!open_stream() || !send((const uint8_t *)"ready", 5))
		return fail("no stream");
	while (!send_back())
		;
	return 0;
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "print", test_print },
		{ "echo", test_echo },
	};
	return GUEST_CASES(cases);
}
