// SPDX-License-Identifier: Apache-2.0
/* Kernels as small as they can be, and empty disks. */
#include "faults_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "held.h"

#define KERNEL_MAX (256 << 10)

static char folder[64], guests[PATH_MAX];
static int passt;

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

/* --- names --- */

static int new_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int pair[2], fd;
	if (!strstr(path, "listen")) {
		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
		return pair[0]; /* the other end stays open, too */
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 4) == 0,
		path);
	return fd;
}

int files_open(const char *path)
{
	static struct {
		char path[PATH_MAX];
		int fd;
	} known[16];
	unsigned i = 0;
	while (*known[i].path && strcmp(known[i].path, path))
		i++;
	if (*known[i].path)
		return known[i].fd;
	known[i].fd = open(path, O_RDWR | O_CLOEXEC);
	if (known[i].fd < 0)
		known[i].fd = open(path, O_RDONLY | O_CLOEXEC);
	if (known[i].fd < 0)
		known[i].fd = new_socket(path);
	snprintf(known[i].path, sizeof(known[i].path), "%s", path);
	return known[i].fd;
}

const char *files_expand(const char *text, char buf[PATH_MAX])
{
	char path[PATH_MAX];
	size_t n = 0;
	for (; *text && n < PATH_MAX - 1; text++) {
		const char *in = *text == '@' ? folder : *text == '#' ? guests : NULL;
		if (in) {
			n += (size_t)snprintf(buf + n, PATH_MAX - n, "%s", in);
		} else if (*text == '%') {
			int len = (int)strcspn(text + 1, ",");
			snprintf(path, sizeof(path), "%s/%.*s", folder, len, text + 1);
			n += (size_t)snprintf(buf + n, PATH_MAX - n, "%d", files_open(path));
			text += len;
		} else {
			buf[n++] = *text;
		}
	}
	buf[n] = '\0';
	return buf;
}

static void file(const char *name, const void *content, size_t len, off_t size)
{
	char path[PATH_MAX];
	int fd = open(files_expand(name, path), O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	must(fd >= 0 && write(fd, content, len) == (ssize_t)len && ftruncate(fd, size) == 0, path);
	close(fd);
}

/* --- kernels --- */

/* Each: how many bytes of KERNEL_MAX it has made. */
static size_t pack_gzip(const void *data, size_t size, uint8_t *ret)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)data,
		.avail_in = (unsigned)size,
		.next_out = ret,
		.avail_out = KERNEL_MAX };
	must(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK &&
			deflate(&z, Z_FINISH) == Z_STREAM_END,
		"gzip");
	deflateEnd(&z);
	return z.total_out - 4; /* the last four bytes are the size, as those of the others */
}

static size_t pack_xz(const void *data, size_t size, uint8_t *ret)
{
	size_t made = 0;
	must(lzma_easy_buffer_encode(
		     6, LZMA_CHECK_CRC32, NULL, data, size, ret, &made, KERNEL_MAX) == LZMA_OK,
		"xz");
	return made;
}

static size_t pack_zstd(const void *data, size_t size, uint8_t *ret)
{
	size_t made = ZSTD_compress(ret, KERNEL_MAX, data, size, 9);
	must(!ZSTD_isError(made), "zstd");
	return made;
}

/* Nothing that could be unpacked here. */
static size_t pack_plain(const void *data, size_t size, uint8_t *ret)
{
	memcpy(ret, "plain", sizeof("plain"));
	return sizeof("plain");
}

static void put(uint8_t *image, unsigned at, unsigned size, uint64_t value)
{
	memcpy(image + at, &value, size);
}

/* What is least taken for a bzImage (Documentation/arch/x86/boot.rst), with @elf in it. */
static void bzimage(const char *name, const void *elf, size_t size,
	size_t (*pack)(const void *data, size_t size, uint8_t *ret))
{
	enum { SETUP = 5 * 512, PAYLOAD = 0x300 };
	static uint8_t image[SETUP + PAYLOAD + KERNEL_MAX + 32];
	memset(image, 0, sizeof(image));
	size_t packed = pack(elf, size, image + SETUP + PAYLOAD);
	size_t code = (PAYLOAD + packed + 4 + 15) / 16 * 16;
	put(image, SETUP + PAYLOAD + (unsigned)packed, 4, size);
	put(image, 0x1f1, 1, SETUP / 512 - 1); /* setup_sects */
	put(image, 0x1f4, 4, code / 16);       /* syssize */
	put(image, 0x1fe, 2, 0xaa55);          /* boot_flag */
	put(image, 0x200, 2, 0x6aeb);          /* jump to the end of the header */
	put(image, 0x202, 4, 0x53726448);      /* "HdrS" */
	put(image, 0x206, 2, 0x020f);          /* version */
	put(image, 0x211, 1, 1);               /* LOADED_HIGH */
	put(image, 0x22c, 4, 0x7fffffff);      /* initrd_addr_max */
	put(image, 0x230, 4, 0x200000);        /* kernel_alignment */
	put(image, 0x234, 1, 1);               /* relocatable_kernel */
	put(image, 0x236, 2, 1);               /* XLF_KERNEL_64 */
	put(image, 0x238, 4, 2047);            /* cmdline_size */
	put(image, 0x248, 4, PAYLOAD);         /* payload_offset */
	put(image, 0x24c, 4, packed + 4);      /* payload_length */
	put(image, 0x258, 8, 0x1000000);       /* pref_address */
	put(image, 0x260, 4, 0x200000);        /* init_size */
	file(name, image, SETUP + code, (off_t)(SETUP + code));
}

static void make_kernels(void)
{
	static uint8_t elf[KERNEL_MAX];
	char path[PATH_MAX];
	int fd = open(files_expand("#/endings.elf", path), O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, elf, sizeof(elf));
	must(size > 0 && size < KERNEL_MAX, path);
	close(fd);
	bzimage("@/bzImage.plain", elf, (size_t)size, pack_plain);
	bzimage("@/bzImage.gzip", elf, (size_t)size, pack_gzip);
	bzimage("@/bzImage.xz", elf, (size_t)size, pack_xz);
	bzimage("@/bzImage.zstd", elf, (size_t)size, pack_zstd);
}

/* --- all else --- */

static void make_tree(void)
{
	char from[PATH_MAX], to[PATH_MAX];
	must(mkdir(files_expand("@/tree", from), 0755) == 0, from);
	must(mkdir(files_expand("@/tree/sub", from), 0755) == 0, from);
	file("@/tree/init", "#!", 2, 2);
	file("@/tree/sub/file", "text", 4, 4);
	must(symlink("sub/file", files_expand("@/tree/symlink", to)) == 0, to);
	files_expand("@/tree/sub/file", from);
	must(link(from, files_expand("@/tree/hardlink", to)) == 0, to);
}

/* A file that has just been written gets no memo in a cache of kernels, and others do: waits until
 * all of ours are of one kind. */
static void settle(void)
{
	char path[PATH_MAX];
	struct stat st;
	must(stat(files_expand("@/bzImage.zstd", path), &st) == 0, path);
	const struct timespec settled = { st.st_ctim.tv_sec + 3, 0 };
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &settled, NULL) == EINTR)
		;
}

void files_make(const char *folder_of_guests)
{
	char path[PATH_MAX];
	snprintf(guests, sizeof(guests), "%s", folder_of_guests);
	snprintf(folder, sizeof(folder), "/tmp/lacuna-faults-XXXXXX");
	must(mkdtemp(folder) != NULL, folder);
	make_kernels();
	make_tree();
	file("@/initrd", "070701", 6, 100000);
	file("@/disk", "", 0, 1 << 20);
	file("@/disk2", "", 0, 1 << 20);
	file("@/disk3", "", 0, 1 << 20);
	file("@/pmem", "", 0, 2 << 20);
	file("@/console", "", 0, 0);
	must(mkdir(files_expand("@/cache", path), 0700) == 0, path);
	must(mkdir(files_expand("@/kept", path), 0700) == 0, path);
	settle();
	passt = new_socket(files_expand("@/listener", path));
}

static void empty(const char *name)
{
	char path[PATH_MAX];
	DIR *dir = opendir(files_expand(name, path));
	for (struct dirent *e; dir && (e = readdir(dir));)
		unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
}

void files_remove(void)
{
	static const char *const folders[] = { "@/tree/sub", "@/tree", "@/cache", "@/kept", "@" };
	char path[PATH_MAX];
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		empty(folders[i]);
		rmdir(files_expand(folders[i], path));
	}
}

void files_refresh(void)
{
	int fd;
	while ((fd = accept(passt, NULL, NULL)) >= 0)
		close(fd);
	empty("@/cache");
}

long files_count(void)
{
	return held_entries(folder);
}
