/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory and the only way into it. RAM is one memfd, mapped once and presented to the guest
 * in one or two regions around the 32-bit hole (include/abi/layout.h). Beside it there may be files
 * of the host, mapped as memory of devices. The map is built before the first vCPU runs and never
 * changes afterwards, so look-ups take no lock and may come from any thread.
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
	int fd;                 /* the memfd, or -1 */
	uint8_t *map;
	uint64_t map_size;
};

#define GMEM_MIN_SIZE (32ull << 20)

/*
 * Makes @size bytes of RAM (a multiple of 4 KiB, at least GMEM_MIN_SIZE; of 2 MiB when @hugepages
 * asks for hugetlb pages). Pages are allocated when first touched. -EINVAL, -ENOMEM or what
 * memfd_create, ftruncate and mmap say.
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
 * [gpa, gpa+len) is about to be filled: where it is large, the host's pages under it become huge
 * ones (2 MiB) if the host has them at hand, for one fault instead of 512, of the host and of the
 * guest. As MADV_COLLAPSE does, it heeds PR_SET_THP_DISABLE, but not the host's settings of
 * transparent huge pages.
 */
void gmem_prepare(const struct gmem *m, gpa_t gpa, uint64_t len);

/*
 * Gives the host pages that lie wholly inside [@hva, @hva + @len) back to the host; they read as
 * zeros from then on. Returns how many bytes these are: 0 where the range is not RAM, holds no
 * whole page, or the host refuses, and always with huge pages. May take long for large ranges.
 */
uint64_t gmem_discard(const struct gmem *m, const void *hva, size_t len);

/* How @size bytes of RAM are split around the hole: fills up to two (gpa, size) pairs, returns how
 * many. Pure. */
unsigned gmem_split(uint64_t size, struct gmem_region ret_region[2]);

#endif
