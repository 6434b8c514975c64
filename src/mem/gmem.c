// SPDX-License-Identifier: Apache-2.0
/* Guest RAM: one mapping, one or two regions around the 32-bit hole; and files beside it. */
#include "mem/gmem.h"

#include <abi/layout.h>
#include <errno.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/hugepage.h"

#define PAGE 4096u

/* What one call gives back: other threads of the process that need the lock of its mappings wait
 * for it. */
#define DISCARD_PIECE (32 * MIB)

#ifndef MADV_DONTNEED_LOCKED /* Linux 5.18 */
#define MADV_DONTNEED_LOCKED 24
#endif

unsigned gmem_split(uint64_t size, struct gmem_region ret_region[2])
{
	uint64_t low = min_u64(size, LAYOUT_RAM_LOW_END);
	ret_region[0] = (struct gmem_region){ .gpa = 0, .size = low };
	if (size == low)
		return 1;
	ret_region[1] = (struct gmem_region){ .gpa = LAYOUT_RAM_HIGH_BASE, .size = size - low };
	return 2;
}

/* Not reserved, since guests are over-committed on purpose, where the host lets them; but pages of
 * the hugetlb pool must be there, or a touch is a SIGBUS. */
static uint8_t *map_ram(uint64_t size, bool hugepages)
{
	if (!hugepages)
		return map_huge_aligned(size);
	return mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
}

static int map_failed(uint64_t size, bool hugepages, struct lacuna_error **err)
{
	const int rc = errno;
	if (hugepages && rc == ENOMEM)
		return err_set(err, ENOMEM,
			"memory: the host has not %llu free 2 MiB pages: raise vm.nr_hugepages (or "
			"ulimit -v, -d) or drop hugepages=on",
			(unsigned long long)(size / HUGEPAGE_SIZE));
	if (hugepages)
		return err_set(err, rc, "memory: pages of 2 MiB: %s: drop hugepages=on",
			strerrordesc_np(rc));
	return err_set(err, rc,
		"memory of %llu MiB: %s: give less, or see ulimit -v, ulimit -d and "
		"vm.overcommit_memory",
		(unsigned long long)(size / MIB), strerrordesc_np(rc));
}

/* A host without transparent huge pages refuses, which is as well. */
static void advise(const struct gmem *m)
{
	const bool huge = m->large && !m->spare_host;
	if (!m->hugepages)
		madvise(m->map, m->map_size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

int gmem_new(uint64_t size, bool hugepages, struct gmem **ret, struct lacuna_error **err)
{
	uint64_t grain = hugepages ? HUGEPAGE_SIZE : PAGE;
	if (size < GMEM_MIN_SIZE)
		return err_set(err, EINVAL, "memory of %llu bytes is too small: at least 32M",
			(unsigned long long)size);
	if (size % grain)
		return err_set(err, EINVAL, "memory of %llu bytes is not a multiple of %s",
			(unsigned long long)size, hugepages ? "2M" : "4K");
	if (size > SIZE_MAX / 2 || size > INT64_MAX / 2)
		return err_set(err, EINVAL,
			"memory of %llu bytes is more than any host can address",
			(unsigned long long)size);

	uint8_t *map = map_ram(size, hugepages);
	if (map == MAP_FAILED)
		return map_failed(size, hugepages, err);
	struct gmem *m = calloc(1, sizeof(*m));
	if (!m || madvise(map, size, MADV_DONTFORK) < 0 || madvise(map, size, MADV_DONTDUMP) < 0) {
		int rc = m ? err_errno(err, "memory") : err_nomem(err);
		munmap(map, size);
		free(m);
		return rc;
	}
	m->map = map;
	m->map_size = m->size = size;
	m->hugepages = hugepages;
	m->region_count = gmem_split(size, m->region);
	uint8_t *hva = map;
	for (unsigned i = 0; i < m->region_count; i++) {
		m->region[i].hva = hva;
		hva += m->region[i].size;
	}
	advise(m);
	*ret = m;
	return 0;
}

void gmem_free(struct gmem *m)
{
	if (!m)
		return;
	while (m->file) {
		struct gmem_file *f = m->file;
		m->file = f->next;
		munmap(f->region.hva, f->region.size);
		free(f);
	}
	munmap(m->map, m->map_size);
	free(m);
}

static void *inside(const struct gmem_region *r, gpa_t gpa, size_t len)
{
	if (gpa < r->gpa || gpa - r->gpa >= r->size || len > r->size - (gpa - r->gpa))
		return NULL;
	return r->hva + (gpa - r->gpa);
}

void *gmem_ptr(const struct gmem *m, gpa_t gpa, size_t len)
{
	void *p = NULL;
	for (unsigned i = 0; i < m->region_count && !p; i++)
		p = inside(&m->region[i], gpa, len);
	return p;
}

int gmem_read(const struct gmem *m, gpa_t gpa, void *buf, size_t len)
{
	const void *p = gmem_ptr(m, gpa, len);
	if (!p)
		return -EFAULT;
	if (len) /* else buf may be NULL */
		memcpy(buf, p, len);
	return 0;
}

int gmem_write(const struct gmem *m, gpa_t gpa, const void *buf, size_t len)
{
	void *p = gmem_ptr(m, gpa, len);
	if (!p)
		return -EFAULT;
	if (len)
		memcpy(p, buf, len);
	return 0;
}

/* --- before a guest runs --- */

void gmem_expect(struct gmem *m, uint64_t size)
{
	if (size < HUGEPAGE_SIZE || m->large)
		return;
	m->large = true;
	advise(m);
}

void gmem_spare_host(struct gmem *m, bool spare)
{
	if (spare == m->spare_host)
		return;
	m->spare_host = spare;
	advise(m);
}

void gmem_clear(const struct gmem *m, gpa_t gpa, uint64_t len)
{
	uint8_t *hva = gmem_ptr(m, gpa, len);
	if (!hva)
		return;
	uint64_t head = min_u64(-(uintptr_t)hva & (PAGE - 1), len);
	uint64_t gone = gmem_discard(m, hva, len);
	memset(hva, 0, gone ? head : len);
	if (gone)
		memset(hva + head + gone, 0, len - head - gone);
}

/* --- files --- */

int gmem_add_file(struct gmem *m, gpa_t gpa, uint64_t size, const char *name, int fd, bool readonly,
	const struct gmem_file **ret, struct lacuna_error **err)
{
	void *map = mmap(NULL, size, PROT_READ | (readonly ? 0 : PROT_WRITE), MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_errno(err, "map %s, %llu MiB", name, (unsigned long long)(size / MIB));
	struct gmem_file *f = malloc(sizeof(*f));
	if (!f) {
		munmap(map, size);
		return err_nomem(err);
	}
	*f = (struct gmem_file){
		.region = { gpa, size, map },
		.name = name,
		.fd = fd,
		.readonly = readonly,
		.next = m->file,
	};
	m->file = f;
	*ret = f;
	return 0;
}

void *gmem_buffer(const struct gmem *m, gpa_t gpa, size_t len)
{
	void *p = gmem_ptr(m, gpa, len);
	for (const struct gmem_file *f = m->file; f && !p; f = f->next)
		p = inside(&f->region, gpa, len);
	return p;
}

static bool in_file(const struct gmem_file *files, const void *hva)
{
	for (const struct gmem_file *f = files; f; f = f->next)
		if ((uintptr_t)hva - (uintptr_t)f->region.hva < f->region.size)
			return true;
	return false;
}

static int copied(ssize_t n, size_t len)
{
	return n < 0 ? -errno : (size_t)n == len ? 0 : -EFAULT;
}

/* From and to a file the kernel copies, as if for another process: where a load would end in SIGBUS
 * it says EFAULT. Nor does it make a truncated file longer, as pwrite() would. */
int gmem_copy_from(const struct gmem_file *files, void *buf, const void *hva, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)(uintptr_t)hva, len };
	if (in_file(files, hva))
		return copied(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), len);
	memcpy(buf, hva, len);
	return 0;
}

int gmem_copy_to(const struct gmem_file *files, void *hva, const void *buf, size_t len)
{
	struct iovec local = { (void *)(uintptr_t)buf, len }, remote = { hva, len };
	if (in_file(files, hva))
		return copied(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), len);
	memcpy(hva, buf, len);
	return 0;
}

/* --- giving back --- */

/* Of pages that the program has locked, too. */
static int discard(void *at, size_t len)
{
	int rc = madvise(at, len, MADV_DONTNEED);
	return rc < 0 && errno == EINVAL ? madvise(at, len, MADV_DONTNEED_LOCKED) : rc;
}

uint64_t gmem_discard(const struct gmem *m, const void *hva, size_t len)
{
	uintptr_t at = (uintptr_t)hva, map = (uintptr_t)m->map;
	/* A page of the hugetlb pool that was given up may be somebody else's when it is needed
	 * again, and then whoever touches it, we for one, gets a SIGBUS. */
	if (m->hugepages || at < map || at - map > m->map_size || len > m->map_size - (at - map))
		return 0;
	uint64_t from = align_up(at - map, PAGE), to = align_down(at - map + len, PAGE), n = 0;
	for (uint64_t piece; from + n < to; n += piece) {
		piece = min_u64(to - from - n, DISCARD_PIECE);
		if (discard(m->map + from + n, piece) < 0)
			break;
	}
	return n;
}
