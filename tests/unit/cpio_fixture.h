/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of folders for the tests, and a reader of their headers. */
#ifndef TESTS_CPIO_FIXTURE_H
#define TESTS_CPIO_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

struct archive {
	uint8_t *data; /* of exactly its size, so that the address sanitizer sees each byte too many
			*/
	uint64_t size;
};

/*
 * Lists @dir, runs the shell command @between (NULL: none) and writes the archive. The error's text
 * goes to @ret_message, "" if there is none.
 */
int archive_make(const char *dir, const char *between, struct archive *ret, char ret_message[1024]);

/* The same, which must succeed. */
struct archive archive_of(const char *dir);

/* Has Debian's cpio unpack it to the new folder @dir. */
void archive_unpack(const struct archive *a, const char *dir);

/* Numbers of a header, in the order of the format. */
enum {
	CPIO_INO,
	CPIO_MODE,
	CPIO_UID,
	CPIO_GID,
	CPIO_NLINK,
	CPIO_MTIME,
	CPIO_FILESIZE,
	CPIO_DEVMAJOR,
	CPIO_DEVMINOR,
	CPIO_RDEVMAJOR,
	CPIO_RDEVMINOR,
	CPIO_NAMESIZE,
	CPIO_CHECK,
	CPIO_FIELDS
};

struct record {
	uint32_t field[CPIO_FIELDS];
	const char *name;
	const uint8_t *content;
	size_t end; /* offset of the next one */
};

/* The record at @offset, which must be a good one. */
struct record record_at(const struct archive *a, size_t offset);

/* The first record of that name, which must be there. */
struct record record_of(const struct archive *a, const char *name);

#endif
