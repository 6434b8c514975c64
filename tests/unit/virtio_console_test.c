// SPDX-License-Identifier: Apache-2.0
/* The console device: what chains and control messages do, good and bad, and what needs no queue.
 */
#include "virtio/console.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <stdio.h>

#include "backend/chardev.h"
#include "virtio/console_layout.h"
#include "virtio_fixture.h"

#define V1     VIRTIO_F_VERSION_1
#define FAILED 0x40 /* VIRTIO_STATUS_NEEDS_RESET */

/* A second ring, for the control messages of the device, and its four buffers. */
#define DESC2_AT  0xc000u
#define AVAIL2_AT 0xd000u
#define USED2_AT  0xe000u
#define DATA2_AT  0x10000u
#define BUFFER    128u

static struct board board, *b = &board;
static char dir[] = "/tmp/lacuna-console-XXXXXX", file[64], text[128];
static struct chardev_params chardev;
static size_t heard;

static void on_output(void *opaque, const void *data, size_t len)
{
	heard += len;
}

static void on_failure(void *opaque, const char *message)
{
	cr_assert_fail("%s", message);
}

/* One console that writes to a file, or that and a named port. */
static void console_up(bool two)
{
	struct keyval *kv = NULL;
	const struct keyval *more[2] = { NULL, NULL };
	static const char *const keys[] = { "kind", "file", "name", "fd", "socket", "link", NULL };
	board_init(b);
	chardev = (struct chardev_params){
		.loop = b->loop, .on_output = on_output, .on_failure = on_failure
	};
	cr_assert_not_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/out", dir);
	snprintf(text, sizeof(text), "file=%s", file);
	if (two)
		cr_assert_eq(keyval_parse("off,name=org.a", "kind", keys, &kv, NULL), 0);
	more[0] = kv;
	b->env.chardev = &chardev;
	b->env.more = more;
	board_add(b, &virtio_console_class, text);
	keyval_free(kv);
}

static void set_up(void)
{
	console_up(true);
}

static void tear_down(void)
{
	board_done(b);
	unlink(file);
	rmdir(dir);
}

TestSuite(console, .init = set_up, .fini = tear_down, .timeout = 60);
TestSuite(console_alone, .fini = tear_down, .timeout = 60);

/* As bring_up(), with @queue at the usual place and, of several ports, control messages at the
 * other. */
static void bring_up_queue(unsigned queue, uint64_t features)
{
	reset_device(b);
	memset(gmem_ptr(&b->ram, DESC_AT, TABLE_AT - DESC_AT), 0, TABLE_AT - DESC_AT);
	negotiate(b, V1 | features);
	place_ring(b, queue);
	if (features & CONSOLE_F_MULTIPORT) {
		memset(gmem_ptr(&b->ram, DESC2_AT, 0x3000), 0, 0x3000);
		bar_set(b, VP_QUEUE_SELECT, CONSOLE_CONTROL_RX, 2);
		bar_set(b, VP_QUEUE_SIZE, RING_SIZE, 2);
		bar_set(b, VP_QUEUE_DESC, DESC2_AT, 4);
		bar_set(b, VP_QUEUE_DRIVER, AVAIL2_AT, 4);
		bar_set(b, VP_QUEUE_DEVICE, USED2_AT, 4);
		for (unsigned i = 0; i < RING_SIZE; i++) {
			put_desc(&b->ram, DESC2_AT + 16 * i, DATA2_AT + BUFFER * i, BUFFER, WRITE,
				0);
			*word(&b->ram, AVAIL2_AT + 4 + 2 * i) = (uint16_t)i;
		}
		store_shared(&b->ram, AVAIL2_AT + 2, RING_SIZE);
		bar_set(b, VP_QUEUE_ENABLE, 1, 2);
	}
	bar_set(b, VP_STATUS, 15, 1);
	cr_assert_eq(bar_get(b, VP_STATUS, 1), 15);
}

static void submit(unsigned queue, uint16_t head)
{
	offer(&b->ram, head);
	bar_set(b, VP_NOTIFY + queue * VP_NOTIFY_STEP, queue, 2);
}

/* What the file holds once the device has stopped, or now. */
static void expect_file(const char *expected)
{
	char data[64] = "";
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	for (int tries = 0; tries < 1000 && strcmp(data, expected); tries++) {
		ssize_t n = pread(fd, data, sizeof(data) - 1, 0);
		data[n > 0 ? n : 0] = '\0';
		if (strcmp(data, expected))
			loop_turn(b);
	}
	close(fd);
	cr_expect_str_eq(data, expected);
}

/* --- output --- */

struct out_case {
	char name[40];
	unsigned count; /* of descriptors */
	struct {
		uint32_t at, len;
		uint16_t flags;
	} d[3];
	char expected[24];
};

ParameterizedTestParameters(console, output)
{
	static struct out_case c[] = {
		{ "one buffer", 1, { { 0, 5, 0 } }, "hello" },
		{ "three buffers", 3, { { 0, 1, 0 }, { 1, 3, 0 }, { 4, 1, 0 } }, "hello" },
		{ "an empty buffer first", 2, { { 0, 0, 0 }, { 0, 5, 0 } }, "hello" },
		{ "nothing to read", 1, { { 0, 5, WRITE } }, "" },
		{ "what can be written to is left alone", 2, { { 0, 5, 0 }, { 0, 5, WRITE } },
			"hello" },
	};
	return cr_make_param_array(struct out_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct out_case *c, console, output)
{
	bring_up_queue(CONSOLE_TX(0), 0);
	memcpy(gmem_ptr(&b->ram, DATA_AT, 5), "hello", 5);
	for (unsigned i = 0; i < c->count; i++)
		put(&b->ram, i, DATA_AT + c->d[i].at, c->d[i].len,
			(uint16_t)(c->d[i].flags | (i + 1 < c->count ? NEXT : 0)),
			(uint16_t)(i + 1));
	submit(CONSOLE_TX(0), 0);
	if (bar_get(b, VP_STATUS, 1) == 15) {
		wait_used(b, 1);
		cr_expect_eq(used_len(&b->ram, 0), 0);
	}
	expect_file(c->expected);
	cr_expect_eq(heard, strlen(c->expected), "the marker is looked for in all of it");
}

Test(console, a_chain_outside_of_memory_needs_a_reset)
{
	bring_up_queue(CONSOLE_TX(0), 0);
	put(&b->ram, 0, RAM_END - 2, 5, 0, 0);
	submit(CONSOLE_TX(0), 0);
	while (!(bar_get(b, VP_STATUS, 1) & FAILED))
		sched_yield();
	bring_up_queue(CONSOLE_TX(0), 0); /* and works after it */
	memcpy(gmem_ptr(&b->ram, DATA_AT, 5), "hello", 5);
	put(&b->ram, 0, DATA_AT, 5, 0, 0);
	submit(CONSOLE_TX(0), 0);
	wait_used(b, 1);
	expect_file("hello");
}

Test(console, emergency_write_needs_no_driver)
{
	reset_device(b);
	bar_set(b, VP_DEVICE + 8, 'h', 4);
	bar_set(b, VP_DEVICE + 8, 'i', 1);
	bar_set(b, VP_DEVICE + 4, 7, 4); /* nothing else can be written */
	bar_set(b, VP_DEVICE + 9, 'x', 1);
	expect_file("hi");
	cr_expect_eq(bar_get(b, VP_DEVICE + 4, 4), 2, "ports");
	cr_expect_eq(bar_get(b, VP_DEVICE + 8, 4), 0);
}

/* --- control messages --- */

struct control_case {
	char name[40];
	uint32_t size, id;
	uint16_t event, value;
	char told[100]; /* each message as id:event:value, blanks between them */
};

ParameterizedTestParameters(console, control)
{
	static struct control_case c[] = {
		{ "device ready", 8, 0, CONSOLE_DEVICE_READY, 1, "0:1:1 1:1:1 " },
		{ "device failed", 8, 0, CONSOLE_DEVICE_READY, 0, "" },
		{ "a console is ready", 8, 0, CONSOLE_PORT_READY, 1, "0:4:1 0:6:1 " },
		{ "a named port is ready", 8, 1, CONSOLE_PORT_READY, 1, "1:7:1=org.a 1:6:1 " },
		{ "a port failed", 8, 0, CONSOLE_PORT_READY, 0, "" },
		{ "a port is opened", 8, 1, CONSOLE_PORT_OPEN, 1, "" },
		{ "no such port is ready", 8, 2, CONSOLE_PORT_READY, 1, "" },
		{ "no such port is opened", 8, UINT32_MAX, CONSOLE_PORT_OPEN, 1, "" },
		{ "the device's own messages", 8, 0, CONSOLE_DEVICE_ADD, 1, "" },
		{ "no such message", 8, 0, 0xffff, 1, "" },
		{ "too short", 7, 0, CONSOLE_DEVICE_READY, 1, "" },
		{ "empty", 0, 0, CONSOLE_DEVICE_READY, 1, "" },
		{ "longer than it need be", 100, 0, CONSOLE_DEVICE_READY, 1, "0:1:1 1:1:1 " },
	};
	return cr_make_param_array(struct control_case, c, ARRAY_SIZE(c));
}

/* The messages that have come, in the form of struct control_case. */
static void read_told(char *told, size_t size)
{
	size_t at = 0;
	told[0] = '\0';
	for (unsigned i = 0; i < load_shared(&b->ram, USED2_AT + 2); i++) {
		uint32_t len = load_le32((uint8_t *)gmem_ptr(&b->ram, USED2_AT + 4 + 8 * i, 8) + 4);
		const uint8_t *m = gmem_ptr(&b->ram, DATA2_AT + BUFFER * i, BUFFER);
		cr_assert(len >= 8 && len < BUFFER);
		at += (size_t)snprintf(told + at, size - at, "%u:%u:%u%s%.*s ", load_le32(m),
			load_le16(m + 4), load_le16(m + 6), len > 8 ? "=" : "", (int)(len - 8),
			m + 8);
	}
}

ParameterizedTest(struct control_case *c, console, control)
{
	char told[200];
	bring_up_queue(CONSOLE_CONTROL_TX, CONSOLE_F_MULTIPORT);
	uint8_t *m = gmem_ptr(&b->ram, DATA_AT, 128);
	memset(m, 0, 128);
	store_le32(m, c->id);
	store_le16(m + 4, c->event);
	store_le16(m + 6, c->value);
	put(&b->ram, 0, DATA_AT, c->size, 0, 0);
	submit(CONSOLE_CONTROL_TX, 0);
	wait_used(b, 1);
	loop_turn(b);
	loop_turn(b);
	read_told(told, sizeof(told));
	cr_expect_str_eq(told, c->told, "%s: told '%s'", c->name, told);
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15);
}

Test(console, control_buffers_too_small_need_a_reset)
{
	bring_up_queue(CONSOLE_CONTROL_TX, CONSOLE_F_MULTIPORT);
	for (unsigned i = 0; i < RING_SIZE; i++)
		put_desc(&b->ram, DESC2_AT + 16 * i, DATA2_AT, 7, WRITE, 0);
	uint8_t *m = gmem_ptr(&b->ram, DATA_AT, 8);
	memset(m, 0, 8);
	store_le16(m + 6, 1); /* the device is ready */
	put(&b->ram, 0, DATA_AT, 8, 0, 0);
	submit(CONSOLE_CONTROL_TX, 0);
	while (!(bar_get(b, VP_STATUS, 1) & FAILED))
		sched_yield();
}

/* --- one console alone --- */

Test(console_alone, the_window_is_in_the_configuration)
{
	struct keyval *kv;
	console_up(false);
	bar_set(b, VP_DEVICE_FEATURE_SELECT, 0, 4);
	cr_expect_eq(bar_get(b, VP_DEVICE_FEATURE, 4) & 7, CONSOLE_F_SIZE | CONSOLE_F_EMERG_WRITE);
	cr_expect_eq(bar_get(b, VP_NUM_QUEUES, 2), 2);
	cr_assert_eq(
		keyval_parse("size=132x50", NULL, virtio_console_class.settable, &kv, NULL), 0);
	cr_expect_eq(virtio_console_class.set(b->dev, kv, NULL), 0);
	keyval_free(kv);
	cr_expect_eq(bar_get(b, VP_DEVICE, 2), 132);
	cr_expect_eq(bar_get(b, VP_DEVICE + 2, 2), 50);
}

struct set_case {
	char text[40];
	int rc;
	char why[48];
};

ParameterizedTestParameters(console, set_refused)
{
	static struct set_case c[] = {
		{ "port=0", -EINVAL, "nothing to set" },
		{ "size=80", -EINVAL, "'80' is no size" },
		{ "size=x25", -EINVAL, "'x25' is no size" },
		{ "size=0x25", -ERANGE, "out of range" },
		{ "size=80x0", -ERANGE, "out of range" },
		{ "size=80x65536", -ERANGE, "out of range" },
		{ "size=80x25x3", -EINVAL, "not a number" },
		{ "size=80x25,port=1", -EINVAL, "port 1 is no console" },
		{ "size=80x25,port=2", -ERANGE, "out of range" },
	};
	return cr_make_param_array(struct set_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct set_case *c, console, set_refused)
{
	struct keyval *kv;
	struct lacuna_error *err = NULL;
	cr_assert_eq(keyval_parse(c->text, NULL, virtio_console_class.settable, &kv, NULL), 0);
	cr_expect_eq(virtio_console_class.set(b->dev, kv, &err), c->rc, "%s", c->text);
	cr_expect_not_null(strstr(lacuna_error_message(err), c->why), "%s: %s", c->text,
		lacuna_error_message(err));
	lacuna_error_free(err);
	keyval_free(kv);
}
