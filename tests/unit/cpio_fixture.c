// SPDX-License-Identifier: Apache-2.0
/* Making archives, and reading them by the letter of buffer-format.rst. */
#include "cpio_fixture.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/cpio.h"
#include "folder_fixture.h"
#include "util/bytes.h"

static int make(int fd, const char *between, struct archive *ret, struct lacuna_error **err)
{
	struct tree *tree = NULL;
	int rc = tree_read(fd, &tree, err);
	if (rc == 0)
		rc = cpio_measure(tree, &ret->size, err);
	if (rc == 0 && between)
		shell("%s", between);
	if (rc == 0) {
		ret->data = malloc(ret->size);
		cr_assert_not_null(ret->data);
		memset(ret->data, 0xaa, ret->size);
		rc = cpio_write(tree, ret->data, ret->size, err);
	}
	if (rc < 0) {
		free(ret->data);
		ret->data = NULL;
	}
	tree_free(tree);
	return rc;
}

int archive_make(const char *dir, const char *between, struct archive *ret, char ret_message[1024])
{
	struct lacuna_error *err = NULL;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", dir);
	ret->data = NULL;
	int rc = make(fd, between, ret, &err);
	cr_expect_eq(rc < 0, err != NULL, "an error has a message, and nothing else has");
	snprintf(ret_message, 1024, "%s", err ? lacuna_error_message(err) : "");
	lacuna_error_free(err);
	return rc;
}

struct archive archive_of(const char *dir)
{
	struct archive a;
	char message[1024];
	cr_assert_eq(archive_make(dir, NULL, &a, message), 0, "%s", message);
	return a;
}

void archive_unpack(const struct archive *a, const char *dir)
{
	put_file("archive", a->data, a->size, 0644);
	shell("rm -rf %s && mkdir %s && cd %s && cpio --quiet -idm <../archive", dir, dir, dir);
}

struct record record_at(const struct archive *a, size_t offset)
{
	struct record r;
	char digits[9] = "";
	const char *header = (const char *)a->data + offset;
	cr_assert_eq(offset % 4, 0);
	cr_assert(offset + 110 <= a->size, "cut off at %zu", offset);
	cr_assert_arr_eq(header, "070701", 6);
	for (size_t i = 0; i < CPIO_FIELDS; i++) {
		memcpy(digits, header + 6 + 8 * i, 8);
		for (size_t j = 0; j < 8; j++)
			cr_assert(isxdigit((unsigned char)digits[j]), "%s", digits);
		r.field[i] = (uint32_t)strtoul(digits, NULL, 16);
	}
	size_t name_end = offset + 110 + r.field[CPIO_NAMESIZE];
	size_t start = align_up(name_end, 4), end = start + r.field[CPIO_FILESIZE];
	r.end = align_up(end, 4);
	cr_assert(r.end <= a->size, "cut off at %zu", offset);
	r.name = header + 110;
	r.content = a->data + start;
	cr_assert_eq(strlen(r.name) + 1, r.field[CPIO_NAMESIZE]);
	for (size_t i = name_end; i < start; i++)
		cr_expect_eq(a->data[i], 0);
	for (size_t i = end; i < r.end; i++)
		cr_expect_eq(a->data[i], 0);
	return r;
}

struct record record_of(const struct archive *a, const char *name)
{
	struct record r = { 0 };
	do
		r = record_at(a, r.end);
	while (strcmp(r.name, name));
	return r;
}
