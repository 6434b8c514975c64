// SPDX-License-Identifier: Apache-2.0
/* Persistent memory: configuration, flushes, and requests that are none. */
#include "virtio/pmem.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "virtio/pmem_layout.h"
#include "virtio_fixture.h"

#define V1      VIRTIO_F_VERSION_1
#define SIZE    (4 * MIB)
#define PMEM_AT (8 * GIB)
#define REQUEST DATA_AT
#define ANSWER  (DATA_AT + 0x100)
#define UNTOLD  0xeeeeeeee

static struct board board, *b = &board;
static char path[] = "/tmp/lacuna-pmem-XXXXXX";
static int file;
static const struct gmem_file *mapped;

static int map_file(void *opaque, const char *name, int fd, uint64_t size, bool readonly,
	uint64_t *ret_gpa, struct lacuna_error **err)
{
	*ret_gpa = PMEM_AT;
	return gmem_add_file(&b->ram, PMEM_AT, size, name, fd, readonly, &mapped, err);
}

static void set_up(void)
{
	file = mkstemp(path);
	cr_assert(file >= 0 && ftruncate(file, SIZE) == 0);
	board_init(b);
	b->env.map_file = map_file;
	board_add(b, &virtio_pmem_class, path);
}

static void tear_down(void)
{
	board_done(b);
	while (b->ram.file) {
		struct gmem_file *f = b->ram.file;
		b->ram.file = f->next;
		munmap(f->region.hva, f->region.size);
		free(f);
	}
	close(file);
	unlink(path);
}

TestSuite(pmem, .init = set_up, .fini = tear_down, .timeout = 60);

Test(pmem, configuration)
{
	cr_expect_eq(config_read(b, 0, 4), 0x105b1af4);
	cr_expect_eq(bar_get(b, VP_DEVICE, 8), PMEM_AT);
	cr_expect_eq(bar_get(b, VP_DEVICE + 8, 8), SIZE);
	bar_set(b, VP_DEVICE, 1, 4);
	cr_expect_eq(bar_get(b, VP_DEVICE, 8), PMEM_AT, "none of it can be written");
	cr_expect_eq(bar_get(b, VP_NUM_QUEUES, 2), 1);
}

struct request_case {
	char name[40];
	uint32_t type;
	uint32_t out, in; /* bytes of each */
	uint32_t piece;   /* bytes of each buffer */
	uint32_t answer;  /* UNTOLD: the device gives up */
};

ParameterizedTestParameters(pmem, requests)
{
	static struct request_case c[] = {
		{ "a flush", PMEM_T_FLUSH, 4, 4, 4, PMEM_OK },
		{ "byte by byte", PMEM_T_FLUSH, 4, 4, 1, PMEM_OK },
		{ "more room than needed", PMEM_T_FLUSH, 64, 64, 64, PMEM_OK },
		{ "unknown", 1, 4, 4, 4, PMEM_FAILED },
		{ "unknown", 0xffffffff, 4, 4, 4, PMEM_FAILED },
		{ "half a type", PMEM_T_FLUSH, 3, 4, 4, UNTOLD },
		{ "no type", PMEM_T_FLUSH, 0, 4, 4, UNTOLD },
		{ "no room for an answer", PMEM_T_FLUSH, 4, 3, 4, UNTOLD },
		{ "no answer wanted", PMEM_T_FLUSH, 4, 0, 4, UNTOLD },
		{ "nothing at all", PMEM_T_FLUSH, 0, 0, 4, UNTOLD },
	};
	return cr_make_param_array(struct request_case, c, ARRAY_SIZE(c));
}

static unsigned put_all(unsigned d, gpa_t at, uint32_t size, uint32_t piece, uint16_t flags)
{
	for (uint32_t done = 0; done < size; done += piece, d++)
		put(&b->ram, d, at + done, size - done < piece ? size - done : piece, flags | NEXT,
			(uint16_t)(d + 1));
	return d;
}

static uint32_t answer(void)
{
	return load_le32(gmem_ptr(&b->ram, ANSWER, 4));
}

static void prepare(uint32_t type)
{
	store_le32(gmem_ptr(&b->ram, REQUEST, 4), type);
	store_le32(gmem_ptr(&b->ram, ANSWER, 4), UNTOLD);
}

ParameterizedTest(struct request_case *c, pmem, requests)
{
	bring_up(b, V1);
	prepare(c->type);
	unsigned d = put_all(0, REQUEST, c->out, c->piece, 0);
	d = put_all(d, ANSWER, c->in, c->piece, WRITE);
	put(&b->ram, d, ANSWER, 0, WRITE, 0); /* an empty buffer ends the chain */
	offer(&b->ram, 0);
	kick(b);
	if (c->answer == UNTOLD) {
		while (!(bar_get(b, VP_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET))
			sched_yield();
	} else {
		wait_used(b, 1);
		cr_expect_eq(used_len(&b->ram, 0), 4);
	}
	cr_expect_eq(answer(), c->answer, "%s", c->name);
	/* And it serves after a reset. */
	bring_up(b, V1);
	prepare(PMEM_T_FLUSH);
	put(&b->ram, 0, REQUEST, 4, NEXT, 1);
	put(&b->ram, 1, ANSWER, 4, WRITE, 0);
	offer(&b->ram, 0);
	kick(b);
	wait_used(b, 1);
	cr_expect_eq(answer(), PMEM_OK);
}

/* More than one turn's worth, all waiting at once. */
Test(pmem, many_flushes)
{
	bring_up(b, V1);
	prepare(PMEM_T_FLUSH);
	put(&b->ram, 0, REQUEST, 4, NEXT, 1);
	put(&b->ram, 1, ANSWER, 4, WRITE, 0);
	for (unsigned i = 0; i < RING_SIZE; i++)
		offer(&b->ram, 0);
	kick(b);
	wait_used(b, RING_SIZE);
	cr_expect_eq(answer(), PMEM_OK);
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15);
}

/* The request is in the memory of the device itself, and then that memory is gone. */
Test(pmem, request_in_the_file)
{
	bring_up(b, V1);
	prepare(PMEM_T_FLUSH);
	put(&b->ram, 0, PMEM_AT + SIZE - 4, 4, NEXT, 1);
	put(&b->ram, 1, PMEM_AT, 4, WRITE, 0);
	cr_assert_eq(pwrite(file, "\1\0\0\0", 4, SIZE - 4), 4);
	offer(&b->ram, 0);
	kick(b);
	wait_used(b, 1);
	uint32_t ret = 0;
	cr_expect_eq(pread(file, &ret, 4, 0), 4);
	cr_expect_eq(le32toh(ret), PMEM_FAILED, "type 1 is unknown");
	cr_assert_eq(ftruncate(file, 0), 0);
	offer(&b->ram, 0);
	kick(b);
	while (!(bar_get(b, VP_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET))
		sched_yield();
}

Test(pmem, resets_under_load)
{
	prepare(PMEM_T_FLUSH);
	for (unsigned round = 0; round < 100; round++) {
		bring_up(b, V1);
		put(&b->ram, 0, REQUEST, 4, NEXT, 1);
		put(&b->ram, 1, ANSWER, 4, WRITE, 0);
		for (unsigned i = 0; i < RING_SIZE; i++)
			offer(&b->ram, 0);
		kick(b);
		while (round % 2 && !load_shared(&b->ram, USED_IDX))
			sched_yield();
		reset_device(b);
		store_shared(&b->ram, USED_IDX, 0xabcd);
		cr_assert_eq(load_shared(&b->ram, USED_IDX), 0xabcd);
	}
}

Test(pmem, option_errors)
{
	static const char *const text[] = { "readonly=on", "path=", "path=/nowhere/x", "/tmp",
		"/tmp,readonly=on", "/dev/null", "x,readonly=maybe" };
	for (unsigned i = 0; i < ARRAY_SIZE(text); i++) {
		struct keyval *kv;
		struct device *d = NULL;
		struct lacuna_error *err = NULL;
		cr_assert_eq(keyval_parse(text[i], virtio_pmem_class.implied_key,
				     virtio_pmem_class.keys, &kv, NULL),
			0);
		cr_expect_lt(virtio_pmem_class.create(&b->env, kv, &d, &err), 0, "%s", text[i]);
		cr_expect_not_null(err, "%s", text[i]);
		cr_expect_null(d);
		lacuna_error_free(err);
		keyval_free(kv);
	}
}
