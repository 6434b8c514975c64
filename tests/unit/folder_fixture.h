/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of the test's own, in which it runs. */
#ifndef TESTS_FOLDER_FIXTURE_H
#define TESTS_FOLDER_FIXTURE_H

#include <stddef.h>
#include <sys/types.h>

/* Makes a folder that everybody may enter and changes to it; and removes it with all that is in it.
 */
void folder_enter(void);
void folder_leave(void);

/* cr_skip_test() that leaves no folder behind. */
#define FOLDER_SKIP(why)           \
	do {                       \
		folder_leave();    \
		cr_skip_test(why); \
	} while (0)

void put_file(const char *name, const void *data, size_t len, mode_t mode);

/* A shell's command in the current folder, which must succeed. */
void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
