/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory and the only way into it. RAM is one piece of anonymous memory, presented to the
 * guest in one or two regions around the 32-bit hole (include/abi/layout.h). Beside it there may be
 * files of the host, mapped as memory of devices. The map is built before the first vCPU runs and
 * never changes afterwards, so look-ups take no lock and may come from any thread.
 *
 * RAM may be touched by its host address; a file must not be, since whoever truncates it makes that
 * a SIGBUS. Its host address is good for system calls (-EFAULT then) and for the copies below.
 *
 * Every access names its whole range and is checked by subtraction, so no sum wraps. The guest can
 * change RAM at any time: copy first (gmem_read), then check and use only the copy.
 */
#ifndef MEM_GMEM_H
#define MEM_GMEM_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* A guest-physical address: an integer, never a pointer. */
typedef uint64_t gpa_t;

struct gmem_region {
	gpa_t gpa;
	uint64_t size;
	uint8_t *hva;
};

/* A file as memory. Its descriptor and name are the adder's and outlive the map. */
struct gmem_file {
	struct gmem_region region;
	const char *name; /* for messages */
	int fd;
	bool readonly;
	struct gmem_file *next;
};

struct gmem {
	struct gmem_region region[2];
	unsigned region_count;
	struct gmem_file *file; /* list */
	uint64_t size;          /* bytes in all */
	bool hugepages;         /* of the host's hugetlb pool */
	bool large, spare_host; /* gmem_expect(), gmem_spare_host() */
	uint8_t *map;
	uint64_t map_size;
};

#define GMEM_MIN_SIZE (32ull << 20)

/*
 * Makes @size bytes of RAM (a multiple of 4 KiB, at least GMEM_MIN_SIZE; of 2 MiB when @hugepages
 * asks for hugetlb pages). Pages are allocated when first touched. Children of fork() have none of
 * it, or each page that is written to meanwhile would be copied; nor have core dumps. -EINVAL,
 * -ENOMEM or what mmap and madvise say.
 */
int gmem_new(uint64_t size, bool hugepages, struct gmem **ret, struct lacuna_error **err);
void gmem_free(struct gmem *m);

/* Maps the first @size bytes of @fd and presents them at @gpa, where nothing else may be. */
int gmem_add_file(struct gmem *m, gpa_t gpa, uint64_t size, const char *name, int fd, bool readonly,
	const struct gmem_file **ret, struct lacuna_error **err);

/* Host address of [gpa, gpa+len), all inside one region of RAM, or NULL. Short-lived use only; len
 * may be 0. */
void *gmem_ptr(const struct gmem *m, gpa_t gpa, size_t len);

/* Likewise, but a file will do, too: what a device moves data to and from. */
void *gmem_buffer(const struct gmem *m, gpa_t gpa, size_t len);

/* Copy from and to what gmem_buffer() has found, of a map with these @files (NULL: none). 0, or
 * -EFAULT when it is a file that has become shorter or is read-only; a part may have been copied
 * then. */
int gmem_copy_from(const struct gmem_file *files, void *buf, const void *hva, size_t len);
int gmem_copy_to(const struct gmem_file *files, void *hva, const void *buf, size_t len);

/* Copy between guest RAM and a host buffer: 0, or -EFAULT when any byte of the range is not RAM
 * (then nothing is copied). */
int gmem_read(const struct gmem *m, gpa_t gpa, void *buf, size_t len);
int gmem_write(const struct gmem *m, gpa_t gpa, const void *buf, size_t len);

/* Makes [gpa, gpa+len), which is RAM, read as zeros, before the guest runs. */
void gmem_clear(const struct gmem *m, gpa_t gpa, uint64_t len);

/*
 * @size bytes of RAM are about to be filled. Once that is 2 MiB, what is first touched from then on
 * comes in transparent huge pages, as far as the host's settings allow: one fault, of host and
 * guest, instead of 512. A guest that is smaller would not use most of one, whose clearing takes
 * longer than all that it does to start. Before the guest runs; nothing with a hugetlb pool.
 */
void gmem_expect(struct gmem *m, uint64_t size);

/*
 * Whether the guest has given memory to the host page by page. Then no new huge pages are made:
 * khugepaged would fill up what is left of old ones. Any thread, one at a time.
 */
void gmem_spare_host(struct gmem *m, bool spare);

/*
 * Gives the host pages that lie wholly inside [@hva, @hva + @len) back to the host; they read as
 * zeros from then on. A part of a huge page is not free before all of it was given, or the host
 * runs short and takes it apart. Returns how many bytes these are: 0 where the range is not RAM,
 * holds no whole page, or the host refuses, and always with a hugetlb pool. May take long for large
 * ranges.
 */
uint64_t gmem_discard(const struct gmem *m, const void *hva, size_t len);

/* How @size bytes of RAM are split around the hole: fills up to two (gpa, size) pairs, returns how
 * many. Pure. */
unsigned gmem_split(uint64_t size, struct gmem_region ret_region[2]);

#endif
