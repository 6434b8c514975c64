// SPDX-License-Identifier: Apache-2.0
/*
 * A driver of a console with two ports that does what none may do (virtio 1.2, 5.3). That both
 * ports are announced when it says it is ready shows that the device still works. test=control
 * control messages that are short, unknown, or for ports that aren't test=chains    control buffers
 * that hold no message: the device must ask for a reset test=output    more output than fits
 * anywhere, with resets under way; and emergency writes
 */
#include "guest.h"
#include "pci.h"
#include "print.h"
#include "string.h"
#include "virtio.h"

#define F_MULTIPORT 2
#define PORTS       2
#define CONTROL_RX  2
#define CONTROL_TX  3
#define SECOND_TX   5

#define DEVICE_READY  0
#define DEVICE_ADD    1
#define DEVICE_REMOVE 2
#define PORT_READY    3
#define CONSOLE_PORT  4
#define RESIZE        5
#define PORT_OPEN     6
#define PORT_NAME     7

#define BUFFER  128
#define BUFFERS 32
#define EMERG   8 /* offset of emerg_wr */

struct message {
	uint32_t id;
	uint16_t event, value;
} __attribute__((packed));
_Static_assert(sizeof(struct message) == 8, "virtio 1.2, 5.3.6.2");

static volatile struct virtq rx_queue, tx_queue, out_queue;
static struct virtio rx, tx, out;
static uint8_t rx_buffer[BUFFERS][BUFFER];
static struct message message;
static uint8_t text[65536];

static int fail(const char *what)
{
	print("FAILED: %s\n", what);
	return 1;
}

static void offer(unsigned i, uint32_t size)
{
	virtq_set(&rx_queue, i, (uint64_t)rx_buffer[i], size, VIRTQ_WRITE, 0);
	virtio_submit(&rx, (uint16_t)i);
}

static bool start(unsigned port_tx, uint32_t buffer)
{
	if (!virtio_negotiate(&rx, VIRTIO_F_VERSION_1 | F_MULTIPORT))
		return false;
	tx = out = rx;
	rx.index = CONTROL_RX;
	tx.index = CONTROL_TX;
	out.index = port_tx;
	virtio_set_queue(&rx, &rx_queue);
	virtio_set_queue(&tx, &tx_queue);
	virtio_set_queue(&out, &out_queue);
	virtio_add_status(&rx, VIRTIO_STATUS_DRIVER_OK);
	for (unsigned i = 0; i < BUFFERS; i++)
		offer(i, buffer);
	return virtio_status(&rx) & VIRTIO_STATUS_DRIVER_OK;
}

static bool find(void)
{
	pci_init();
	return virtio_find(&rx, VIRTIO_ID_CONSOLE);
}

static bool say(uint32_t id, uint16_t event, uint16_t value, uint32_t size)
{
	uint32_t len;
	message = (struct message){ id, event, value };
	virtq_set(&tx_queue, 0, (uint64_t)&message, size, 0, 0);
	virtio_submit(&tx, 0);
	return virtio_wait(&tx, &len) && len == 0;
}

/* The next control message of the device; its buffer is offered again. */
static bool hear(struct message *ret)
{
	uint32_t len;
	if (!virtio_wait(&rx, &len) || len < sizeof(*ret))
		return false;
	uint32_t id = rx_queue.used.ring[(rx_queue.seen - 1) % VIRTQ_SIZE].id;
	memcpy(ret, rx_buffer[id], sizeof(*ret));
	offer(id, BUFFER);
	return true;
}

/* Says that the driver is ready, and hears of every port once; what the device had to say before is
 * passed over. */
static bool works(void)
{
	struct message m;
	if (!say(0, DEVICE_READY, 1, sizeof(message)))
		return false;
	for (unsigned next = 0; next < PORTS;) {
		if (!hear(&m))
			return false;
		if (m.event == DEVICE_ADD && m.id == next)
			next++;
	}
	return true;
}

static int test_control(void)
{
	static const struct {
		uint32_t id;
		uint16_t event, value;
		uint32_t size;
	} wrong[] = {
		{ 0, PORT_OPEN, 1, 1 }, { 0, PORT_OPEN, 1, 7 },
		{ 0, DEVICE_READY, 0, 8 }, /* the driver failed */
		{ 0, DEVICE_ADD, 1, 8 }, { 0, DEVICE_REMOVE, 1, 8 }, { 0, CONSOLE_PORT, 1, 8 },
		{ 0, RESIZE, 1, 8 }, { 0, PORT_NAME, 1, 8 }, { 0, 8, 1, 8 },
		{ 0, UINT16_MAX, UINT16_MAX, 8 }, { PORTS, PORT_READY, 1, 8 },
		{ PORTS, PORT_OPEN, 1, 8 }, { UINT32_MAX, PORT_READY, 1, 8 },
		{ UINT32_MAX, PORT_OPEN, 1, 8 }, { UINT32_MAX, DEVICE_READY, 0, 8 },
		{ 0, PORT_READY, 0, 8 },                                   /* could not be set up */
		{ 1, PORT_OPEN, 1, 8 },                                    /* before it is ready */
		{ 1, PORT_READY, UINT16_MAX, 8 }, { 1, PORT_READY, 1, 8 }, /* again */
	};
	unsigned count = sizeof(wrong) / sizeof(wrong[0]);
	if (!find() || !start(SECOND_TX, BUFFER))
		return fail("no console");
	for (unsigned i = 0; i < count; i++)
		if (!say(wrong[i].id, wrong[i].event, wrong[i].value, wrong[i].size) || !works()) {
			print("FAILED: message %u\n", i);
			return 1;
		}
	print("control: %u\n", count);
	return 0;
}

static int test_chains(void)
{
	static const uint32_t size[] = { 1, 4, 7 };
	unsigned count = sizeof(size) / sizeof(size[0]);
	if (!find())
		return fail("no console");
	for (unsigned i = 0; i < count; i++) {
		if (!start(SECOND_TX, size[i]))
			return fail("no service");
		say(0, DEVICE_READY, 1, sizeof(message));
		while (!(virtio_status(&rx) & VIRTIO_STATUS_NEEDS_RESET))
			if (rx_queue.used.idx) {
				print("FAILED: a buffer of %u was used\n", size[i]);
				return 1;
			}
	}
	if (!start(SECOND_TX, BUFFER) || !works())
		return fail("no service in the end");
	print("chains: %u refused\n", count);
	return 0;
}

/* A ring full of it, for a port that was never opened as well. */
static bool write_much(void)
{
	uint32_t len;
	for (unsigned i = 0; i < VIRTQ_SIZE; i++) {
		virtq_set(&out_queue, i, (uint64_t)text, sizeof(text), 0, 0);
		virtio_submit(&out, (uint16_t)i);
	}
	for (unsigned i = 0; i < VIRTQ_SIZE; i++)
		if (!virtio_wait(&out, &len) || len != 0)
			return false;
	return true;
}

static int test_output(void)
{
	static const unsigned port_tx[] = { 1, SECOND_TX };
	if (!find())
		return fail("no console");
	memset(text, 'x', sizeof(text));
	for (unsigned round = 0; round < 20; round++) {
		if (!start(port_tx[round % 2], BUFFER))
			return fail("no service");
		if (round % 4 == 3) { /* the next start resets it meanwhile */
			virtq_set(&out_queue, 0, (uint64_t)text, sizeof(text), 0, 0);
			virtio_submit(&out, 0);
			continue;
		}
		if (!write_much() || !works())
			return fail("output");
	}
	for (unsigned i = 0; i < 100; i++) { /* 5.3.4: at any time */
		*(volatile uint32_t *)(rx.device + EMERG) = 'a' + i % 26;
		*(volatile uint8_t *)(rx.device + EMERG + i % 4) = 'b';
		*(volatile uint16_t *)(rx.device + UINT64_C(2) * (i % 6)) = UINT16_MAX;
	}
	if (!works())
		return fail("no service in the end");
	print("output: done\n");
	return 0;
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "control", test_control },
		{ "chains", test_chains },
		{ "output", test_output },
	};
	return GUEST_CASES(cases);
}
