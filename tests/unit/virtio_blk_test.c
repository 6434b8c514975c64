// SPDX-License-Identifier: Apache-2.0
/* Block requests (virtio 1.2, 5.2.6) from chains of every shape, against a real file. */
#include "virtio/blk.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/fd.h"
#include "virtio/blk_layout.h"
#include "virtio_guest.h"

#define SECTORS 64u
#define NO      0xee /* what the status byte holds before */

/* Where the tests put the parts of a request. */
#define HEADER_AT DATA_AT
#define STATUS_AT (DATA_AT + 0x100)
#define PAYLOAD   (DATA_AT + 0x200)

static struct gmem ram;
static struct virtq vq;
static struct virtq_chain chain;
static char path[] = "/tmp/lacuna-blk-XXXXXX";
static int file;
static struct disk *disk;
static struct blk_target target;

static void open_disk(bool readonly)
{
	disk_close(disk);
	cr_assert_eq(disk_open(path, readonly, false, &disk, NULL), 0);
	memset(&target, 0, sizeof(target));
	target.disk = disk;
	target.discard = target.write_zeroes = true;
	memcpy(target.serial, "serial-of-this", 14);
}

static uint8_t pattern(unsigned sector)
{
	return (uint8_t)(sector * 3 + 1);
}

static void set_up(void)
{
	uint8_t buf[512];
	ram_init(&ram);
	queue_init(&vq, &ram);
	file = mkstemp(path);
	cr_assert_geq(file, 0);
	for (unsigned i = 0; i < SECTORS; i++) {
		memset(buf, pattern(i), sizeof(buf));
		cr_assert_eq(write(file, buf, sizeof(buf)), (ssize_t)sizeof(buf));
	}
	open_disk(false);
}

static void tear_down(void)
{
	disk_close(disk);
	close(file);
	unlink(path);
	ram_done(&ram);
}

TestSuite(blk, .init = set_up, .fini = tear_down);

static void put_header(uint32_t type, uint64_t sector)
{
	uint8_t *h = gmem_ptr(&ram, HEADER_AT, 16);
	store_le32(h, type);
	store_le32(h + 4, 0);
	store_le64(h + 8, sector);
}

static uint8_t sector_byte(unsigned sector)
{
	uint8_t buf[512];
	cr_assert_eq(pread(file, buf, sizeof(buf), (off_t)sector * 512), (ssize_t)sizeof(buf));
	for (unsigned i = 1; i < sizeof(buf); i++)
		if (buf[i] != buf[0])
			return NO;
	return buf[0];
}

/* Takes the chain that was offered and carries it out here and now. */
static int carry_out(uint32_t *ret_written)
{
	struct blk_request r;
	cr_assert_eq(virtq_pop(&vq, &chain), 1);
	int rc = blk_request_parse(&target, &chain, &r);
	if (rc < 0)
		return rc;
	*ret_written = blk_request_finish(&r, rc ? disk_io_run(disk, &r.io) : 0);
	return 0;
}

/* Offers header, @out bytes, @in bytes and a status byte as buffers of their own, and carries it
 * out. Returns the status byte. */
static uint8_t request(
	uint32_t type, uint64_t sector, uint32_t out, uint32_t in, uint32_t *ret_written)
{
	put_header(type, sector);
	*(uint8_t *)gmem_ptr(&ram, STATUS_AT, 1) = NO;
	put(&ram, 0, HEADER_AT, 16, NEXT, 1);
	put(&ram, 1, PAYLOAD, out, NEXT, 2);
	put(&ram, 2, PAYLOAD, in, WRITE | NEXT, 3);
	put(&ram, 3, STATUS_AT, 1, WRITE, 0);
	offer(&ram, 0);
	cr_assert_eq(carry_out(ret_written), 0);
	return *(uint8_t *)gmem_ptr(&ram, STATUS_AT, 1);
}

/* --- reads and writes: range, length, direction --- */

struct io_case {
	uint32_t type;
	uint64_t sector;
	uint32_t out, in;
	uint8_t status;
	uint32_t written;
};

ParameterizedTestParameters(blk, io)
{
	enum { OK = BLK_S_OK, IOERR = BLK_S_IOERR, UNSUPP = BLK_S_UNSUPP };
	static struct io_case c[] = {
		{ BLK_T_IN, 0, 0, 512, OK, 513 },
		{ BLK_T_IN, 0, 0, SECTORS * 512, OK, SECTORS * 512 + 1 },
		{ BLK_T_IN, SECTORS - 1, 0, 512, OK, 513 },
		{ BLK_T_IN, 0, 0, 0, OK, 1 },
		{ BLK_T_IN, SECTORS, 0, 0, OK, 1 },
		{ BLK_T_IN, SECTORS, 0, 512, IOERR, 0 },
		{ BLK_T_IN, SECTORS - 1, 0, 1024, IOERR, 0 },
		{ BLK_T_IN, SECTORS + 1, 0, 0, IOERR, 1 },
		{ BLK_T_IN, UINT64_MAX, 0, 512, IOERR, 0 },
		{ BLK_T_IN, UINT64_MAX - 1, 0, 1024, IOERR, 0 },
		{ BLK_T_IN, UINT64_MAX / 512, 0, 512, IOERR, 0 },
		{ BLK_T_IN, (uint64_t)1 << 55, 0, 512, IOERR, 0 }, /* times 512 this wraps to 0 */
		{ BLK_T_IN, 0, 0, 511, IOERR, 0 },
		{ BLK_T_IN, 0, 0, 513, IOERR, 0 },
		{ BLK_T_IN, 0, 512, 512, IOERR, 0 },
		{ BLK_T_OUT, 0, 512, 0, OK, 1 },
		{ BLK_T_OUT, SECTORS - 1, 512, 0, OK, 1 },
		{ BLK_T_OUT, 0, 0, 0, OK, 1 },
		{ BLK_T_OUT, SECTORS, 512, 0, IOERR, 1 },
		{ BLK_T_OUT, SECTORS - 1, 1024, 0, IOERR, 1 },
		{ BLK_T_OUT, UINT64_MAX, 512, 0, IOERR, 1 },
		{ BLK_T_OUT, (uint64_t)1 << 55, 512, 0, IOERR, 1 },
		{ BLK_T_OUT, 0, 100, 0, IOERR, 1 },
		{ BLK_T_OUT, 0, 512, 512, IOERR, 0 },
		{ BLK_T_FLUSH, 0, 0, 0, OK, 1 },
		{ BLK_T_FLUSH, 0, 512, 0, IOERR, 1 },
		{ BLK_T_FLUSH, 0, 0, 512, IOERR, 0 },
		{ BLK_T_GET_ID, 0, 0, 20, OK, 21 },
		{ BLK_T_GET_ID, 0, 0, 7, OK, 8 },
		{ BLK_T_GET_ID, 0, 0, 100, OK, 20 },
		{ BLK_T_DISCARD, 0, 0, 0, IOERR, 1 },
		{ BLK_T_DISCARD, 0, 15, 0, IOERR, 1 },
		{ BLK_T_DISCARD, 0, 17, 0, IOERR, 1 },
		{ BLK_T_DISCARD, 0, 16 * (BLK_MAX_RANGES + 1), 0, IOERR, 1 },
		{ BLK_T_DISCARD, 0, 16, 16, IOERR, 0 },
		{ BLK_T_WRITE_ZEROES, 0, 0, 0, IOERR, 1 },
		{ BLK_T_WRITE_ZEROES, 0, 24, 0, IOERR, 1 },
		{ 2, 0, 0, 512, UNSUPP, 0 }, /* SCSI command */
		{ 14, 0, 16, 0, UNSUPP, 1 }, /* secure erase */
		{ UINT32_MAX, 0, 512, 512, UNSUPP, 0 },
	};
	return cr_make_param_array(struct io_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct io_case *c, blk, io)
{
	const size_t room = (size_t)SECTORS * 512 + 1;
	uint32_t written = 77;
	uint8_t *payload = gmem_ptr(&ram, PAYLOAD, room);
	memset(payload, 0x99, room);
	if (c->type == BLK_T_DISCARD || c->type == BLK_T_WRITE_ZEROES)
		memset(payload, 0, sizeof(struct blk_range) * BLK_MAX_RANGES);
	uint8_t status = request(c->type, c->sector, c->out, c->in, &written);
	cr_expect_eq(status, c->status, "type %u, sector %llu, %u out, %u in: status %u", c->type,
		(unsigned long long)c->sector, c->out, c->in, status);
	cr_expect_eq(written, c->written, "type %u, sector %llu, %u out, %u in: %u written",
		c->type, (unsigned long long)c->sector, c->out, c->in, written);
	bool wrote = c->type == BLK_T_OUT && c->status == BLK_S_OK && c->out;
	for (unsigned i = 0; i < SECTORS; i++)
		cr_expect_eq(sector_byte(i), wrote && i == c->sector ? 0x99 : pattern(i),
			"sector %u on the host", i);
	if (c->type == BLK_T_IN && c->status == BLK_S_OK)
		for (uint32_t i = 0; i < c->in; i++)
			cr_assert_eq(payload[i], pattern((unsigned)c->sector + i / 512));
	cr_expect_eq(payload[c->in],
		c->type == BLK_T_DISCARD || c->type == BLK_T_WRITE_ZEROES ? payload[c->in] : 0x99,
		"nothing is written behind the buffer");
}

Test(blk, serial)
{
	uint32_t written;
	cr_expect_eq(request(BLK_T_GET_ID, 0, 0, 20, &written), BLK_S_OK);
	cr_expect_arr_eq(gmem_ptr(&ram, PAYLOAD, 20), "serial-of-this\0\0\0\0\0\0", 20);
}

/* The same read, however the driver cuts the request: header and status need no buffer of their own
 * (5.2.6, 2.7.4). */
Test(blk, any_layout)
{
	static const uint16_t out_cut[][3] = { { 16, 0, 0 }, { 1, 15, 0 }, { 8, 7, 1 } };
	static const uint16_t in_cut[][3] = { { 1025, 0, 0 }, { 1024, 1, 0 }, { 1, 1023, 1 },
		{ 511, 513, 1 }, { 512, 1, 512 } };
	for (unsigned o = 0; o < ARRAY_SIZE(out_cut); o++)
		for (unsigned n = 0; n < ARRAY_SIZE(in_cut); n++) {
			uint8_t *payload = gmem_ptr(&ram, PAYLOAD, 1025);
			memset(payload, NO, 1025);
			put_header(BLK_T_IN, 5);
			gpa_t at = HEADER_AT;
			for (uint16_t i = 0; i < 3; i++) {
				put(&ram, i, at, out_cut[o][i], NEXT, (uint16_t)(i + 1));
				at += out_cut[o][i];
			}
			at = PAYLOAD;
			for (uint16_t i = 3; i < 6; i++) {
				put(&ram, i, at, in_cut[n][i - 3], WRITE | (i < 5 ? NEXT : 0),
					(uint16_t)(i + 1));
				at += in_cut[n][i - 3];
			}
			offer(&ram, 0);
			uint32_t written;
			cr_assert_eq(carry_out(&written), 0);
			cr_expect_eq(written, 1025);
			cr_expect_eq(payload[0], pattern(5));
			cr_expect_eq(payload[511], pattern(5));
			cr_expect_eq(payload[512], pattern(6));
			cr_expect_eq(payload[1023], pattern(6));
			cr_expect_eq(payload[1024], BLK_S_OK, "the last byte is the status");
		}
}

struct shape_case {
	uint32_t out, in;
};

ParameterizedTestParameters(blk, no_room)
{
	static struct shape_case c[] = { { 0, 0 }, { 16, 0 }, { 15, 1 }, { 0, 1 }, { 0, 513 },
		{ 600, 0 } };
	return cr_make_param_array(struct shape_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct shape_case *c, blk, no_room)
{
	uint32_t written;
	put_header(BLK_T_OUT, 0);
	put(&ram, 0, HEADER_AT, c->out, NEXT, 1);
	put(&ram, 1, PAYLOAD, c->in, WRITE, 0);
	offer(&ram, 0);
	cr_expect_eq(carry_out(&written), -EPROTO);
	cr_expect_eq(sector_byte(0), pattern(0));
}

Test(blk, readonly)
{
	uint32_t written;
	open_disk(true);
	store_le64(gmem_ptr(&ram, PAYLOAD, 8), 0);
	store_le32(gmem_ptr(&ram, PAYLOAD + 8, 4), 1);
	store_le32(gmem_ptr(&ram, PAYLOAD + 12, 4), 0);
	cr_expect_eq(request(BLK_T_OUT, 0, 512, 0, &written), BLK_S_IOERR);
	cr_expect_eq(request(BLK_T_DISCARD, 0, 16, 0, &written), BLK_S_IOERR);
	cr_expect_eq(request(BLK_T_WRITE_ZEROES, 0, 16, 0, &written), BLK_S_IOERR);
	cr_expect_eq(request(BLK_T_FLUSH, 0, 0, 0, &written), BLK_S_OK);
	cr_expect_eq(request(BLK_T_IN, 0, 0, 512, &written), BLK_S_OK);
	cr_expect_eq(sector_byte(0), pattern(0));
}

/* --- ranges --- */

struct range_row {
	uint64_t sector;
	uint32_t count, flags;
};

struct range_case {
	uint64_t type;
	struct range_row row[3]; /* up to the first of count 0, which is not sent */
	uint8_t status;
	bool not_negotiated;
};

ParameterizedTestParameters(blk, ranges)
{
	enum { OK = BLK_S_OK, IOERR = BLK_S_IOERR, UNSUPP = BLK_S_UNSUPP };
	enum { DISCARD = BLK_T_DISCARD, ZEROES = BLK_T_WRITE_ZEROES };
	static struct range_case c[] = {
		{ ZEROES, { { 0, 1, 0 } }, OK, false },
		{ ZEROES, { { 0, SECTORS, 0 } }, OK, false },
		{ ZEROES, { { SECTORS - 1, 1, 1 } }, OK, false },
		{ ZEROES, { { 3, 5, 1 }, { 10, 1, 0 }, { 60, 4, 1 } }, OK, false },
		{ ZEROES, { { SECTORS, 1, 0 } }, IOERR, false },
		{ ZEROES, { { SECTORS - 1, 2, 0 } }, IOERR, false },
		{ ZEROES, { { UINT64_MAX, 2, 0 } }, IOERR, false },
		{ ZEROES, { { (uint64_t)1 << 55, 1, 0 } }, IOERR, false },
		{ ZEROES, { { 0, UINT32_MAX, 0 } }, IOERR, false },
		{ ZEROES, { { 0, 1, 2 } }, UNSUPP, false },
		{ ZEROES, { { 0, 1, 0x80000001 } }, UNSUPP, false },
		{ ZEROES, { { 0, 4, 0 }, { SECTORS, 1, 0 } }, IOERR, false },
		{ ZEROES, { { 0, 4, 0 }, { 8, 1, 4 } }, UNSUPP, false },
		{ ZEROES, { { 0, 1, 0 } }, UNSUPP, true },
		{ DISCARD, { { 0, SECTORS, 0 } }, OK, false },
		{ DISCARD, { { 8, 8, 0 }, { 32, 8, 0 } }, OK, false },
		{ DISCARD, { { SECTORS, 1, 0 } }, IOERR, false },
		{ DISCARD, { { 1, SECTORS, 0 } }, IOERR, false },
		{ DISCARD, { { UINT64_MAX, 1, 0 } }, IOERR, false },
		{ DISCARD, { { 0, 8, 1 } }, UNSUPP, false },
		{ DISCARD, { { 0, 8, 0 } }, UNSUPP, true },
	};
	return cr_make_param_array(struct range_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct range_case *c, blk, ranges)
{
	uint32_t written;
	unsigned rows = 0;
	bool hit[SECTORS] = { false };
	for (; rows < ARRAY_SIZE(c->row) && c->row[rows].count; rows++) {
		uint8_t *p = gmem_ptr(&ram, PAYLOAD + 16 * rows, 16);
		store_le64(p, c->row[rows].sector);
		store_le32(p + 8, c->row[rows].count);
		store_le32(p + 12, c->row[rows].flags);
		for (uint64_t s = c->row[rows].sector;
			c->status == BLK_S_OK && s < c->row[rows].sector + c->row[rows].count; s++)
			hit[s] = true;
	}
	if (c->not_negotiated)
		target.discard = target.write_zeroes = false;
	cr_expect_eq(request((uint32_t)c->type, 0, 16 * rows, 0, &written), c->status);
	cr_expect_eq(written, 1);
	for (unsigned i = 0; i < SECTORS; i++) {
		uint8_t b = sector_byte(i);
		if (!hit[i])
			cr_expect_eq(b, pattern(i), "sector %u must be as before", i);
		else if (c->type == BLK_T_WRITE_ZEROES)
			cr_expect_eq(b, 0, "sector %u", i);
		else
			cr_expect(b == 0 || b == pattern(i), "sector %u: zeros or as before", i);
	}
}
