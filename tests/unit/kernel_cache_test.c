// SPDX-License-Identifier: Apache-2.0
/* The cache of unpacked kernels: what is found again, what is not believed, what goes; and the
 * memos by which a kernel file is known. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/kernel_cache.h"
#include "boot/traits.h"
#include "folder_fixture.h"
#include "util/bytes.h"
#include "util/fd.h"

static const char inner[] = "a/b";

static void enter(void)
{
	umask(022);
	folder_enter();
}

TestSuite(kernel_cache, .init = enter, .fini = folder_leave);

/* What was found; it is closed. */
static bool is_text(struct kept_kernel *kept, const char *text)
{
	char buf[64] = "";
	ssize_t n = read(kept->fd, buf, sizeof(buf));
	fd_close(&kept->fd);
	return n > (ssize_t)kept->size && kept->size == strlen(text) &&
	       !memcmp(buf, text, kept->size);
}

static bool holds(const struct kernel_key *key, const char *text)
{
	struct kept_kernel kept;
	return kernel_cache_find(inner, key, &kept) == 0 && is_text(&kept, text);
}

static int find(const struct kernel_key *key)
{
	struct kept_kernel kept = { .fd = -1 };
	int rc = kernel_cache_find(inner, key, &kept);
	fd_close(&kept.fd);
	return rc;
}

static int store(const struct kernel_key *key, const char *text)
{
	return kernel_cache_store(inner, key, text, TRAIT_MCFG);
}

static unsigned count_files(void)
{
	unsigned n = 0;
	DIR *dir = opendir(inner);
	cr_assert_not_null(dir);
	for (const struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
	closedir(dir);
	return n;
}

static void path_of(const struct kernel_key *key, char ret[160])
{
	snprintf(ret, 160, "%s/%s", inner, key->name);
}

Test(kernel_cache, found_again)
{
	/* FIPS 180-4's own example names the file */
	struct kernel_key a = kernel_key("abc", 3, 5), b = kernel_key("abd", 3, 5);
	cr_expect_str_eq(
		a.name, "lacuna-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	cr_expect_eq(find(&a), -ENOENT);
	cr_assert_eq(store(&a, "hello"), 0);
	cr_assert_eq(store(&b, "world"), 0);
	cr_assert_eq(store(&a, "hello"), 0);
	cr_expect(holds(&a, "hello"));
	cr_expect(holds(&b, "world"));
	cr_expect_eq(count_files(), 2);
}

Test(kernel_cache, nothing_that_others_could_have_written)
{
	struct kernel_key key = kernel_key("abc", 3, 5);
	char path[160];
	cr_assert_eq(store(&key, "hello"), 0);
	path_of(&key, path);
	chmod(path, 0620);
	cr_expect_eq(find(&key), -EPERM);
	chmod(path, 0600);
	chmod(inner, 0777);
	cr_expect_eq(find(&key), -EPERM);
	cr_expect_eq(store(&key, "hello"), -EPERM);
	chmod(inner, 0700);
	cr_expect(holds(&key, "hello"));
	/* a link to somewhere */
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	cr_expect_lt(find(&key), 0);
	if (geteuid() == 0) {
		cr_assert_eq(store(&key, "hello"), 0);
		cr_assert_eq(chown(path, 1, 1), 0);
		cr_expect_eq(find(&key), -EPERM);
	}
}

/* Bytes of a kept file's end that are others: it is made again. */
struct broken_case {
	const char *what;
	off_t size; /* what it is truncated to, from its end; 0: not */
	off_t at;   /* the byte that is written, from its end */
	uint8_t byte;
};

static const struct broken_case broken[] = {
	{ "cut short", -20, 0, 0 },
	{ "nothing but a kernel", -24, 0, 0 },
	{ "longer", 8, 0, 0 },
	{ "empty", -29, 0, 0 },
	{ "another magic", 0, -24, 'L' },
	{ "another version", 0, -17, 2 },
	{ "another size", 0, -16, 6 },
	{ "a huge size", 0, -9, 0xff },
	{ "a trait that we don't know", 0, -8, 0x80 },
	{ "something reserved", 0, -1, 1 },
};

Test(kernel_cache, what_is_broken_is_made_again)
{
	struct kernel_key key = kernel_key("abc", 3, 5);
	char path[160];
	path_of(&key, path);
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		const struct broken_case *c = &broken[i];
		cr_assert_eq(store(&key, "hello"), 0);
		cr_expect(holds(&key, "hello"));
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		cr_assert_geq(fd, 0);
		if (c->size)
			cr_assert_eq(ftruncate(fd, 29 + c->size), 0);
		else
			cr_assert_eq(pwrite(fd, &c->byte, 1, 29 + c->at), 1);
		fd_close(&fd);
		cr_expect_eq(find(&key), -ENOENT, "%s", c->what);
	}
	/* not its own size, though whole */
	cr_assert_eq(store(&key, "hello"), 0);
	key.size = 4;
	cr_expect_eq(find(&key), -ENOENT);
}

/* Zeros become holes, and zeros again. */
Test(kernel_cache, zeros_take_no_room)
{
	static uint8_t data[4 * MIB + 5], back[sizeof(data)];
	struct kernel_key key = kernel_key("abc", 3, sizeof(data));
	struct kept_kernel kept;
	struct stat st;
	data[0] = data[MIB + 17] = data[sizeof(data) - 1] = 1;
	cr_assert_eq(kernel_cache_store(inner, &key, data, TRAIT_FDT), 0);
	cr_assert_eq(kernel_cache_find(inner, &key, &kept), 0);
	cr_expect_eq(kept.traits, TRAIT_FDT);
	cr_expect_eq(kept.size, sizeof(data));
	cr_expect_eq(pread(kept.fd, back, sizeof(back), 0), (ssize_t)sizeof(back));
	cr_expect_eq(memcmp(back, data, sizeof(data)), 0);
	cr_assert_eq(fstat(kept.fd, &st), 0);
	cr_expect_lt(st.st_blocks * 512, (blkcnt_t)MIB);
	fd_close(&kept.fd);
}

Test(kernel_cache, the_least_recently_used_goes)
{
	struct kernel_key key[KERNEL_CACHE_MAX + 1];
	for (unsigned i = 0; i <= KERNEL_CACHE_MAX; i++) {
		char path[160];
		key[i] = kernel_key(&i, sizeof(i), 5);
		cr_assert_eq(store(&key[i], "hello"), 0);
		path_of(&key[i], path);
		struct timespec t[2] = { { 1000 + i, 0 }, { 1000 + i, 0 } };
		utimensat(AT_FDCWD, path, t, 0);
		if (i == KERNEL_CACHE_MAX - 1)
			cr_expect(holds(&key[0], "hello")); /* which makes it the newest */
	}
	cr_expect_eq(count_files(), KERNEL_CACHE_MAX);
	cr_expect(holds(&key[0], "hello"));
	cr_expect_eq(find(&key[1]), -ENOENT);
	cr_expect(holds(&key[2], "hello"));
}

/* A folder that holds other things as well, some of names like ours. */
Test(kernel_cache, what_is_not_ours_stays)
{
	static const char *const names[] = {
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		".new.1",
		"lacuna-notes",
		/* 64 digits, one of which is none */
		"lacuna-ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	};
	struct kernel_key key = kernel_key("abc", 3, 5);
	cr_assert_eq(store(&key, "hello"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[160];
		struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
		snprintf(path, sizeof(path), "%s/%s", inner, names[i]);
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		cr_assert_geq(fd, 0);
		cr_assert_eq(futimens(fd, old), 0);
		fd_close(&fd);
	}
	for (unsigned i = 0; i < 2 * KERNEL_CACHE_MAX; i++) {
		key = kernel_key(&i, sizeof(i), 5);
		cr_assert_eq(store(&key, "hello"), 0);
	}
	cr_expect_eq(count_files(), KERNEL_CACHE_MAX + ARRAY_SIZE(names));
}

Test(kernel_cache, no_room)
{
	struct kernel_key key = kernel_key("abc", 3, 5);
	cr_expect_lt(kernel_cache_store("/proc/self/none", &key, "hello", 0), 0);
	put_file("file", "", 0, 0600);
	cr_expect_eq(kernel_cache_store("file/b", &key, "hello", 0), -ENOTDIR);
}

/* --- memos --- */

static struct kernel_key kept_key;

static void keep(const char *text)
{
	kept_key = kernel_key(text, strlen(text), strlen(text));
	cr_assert_eq(store(&kept_key, text), 0);
}

/* Of the file "kernel", @later seconds after it was last changed. */
static struct kernel_origin origin_after(int later)
{
	int fd = open("kernel", O_RDONLY | O_CLOEXEC);
	struct stat st;
	cr_assert(fd >= 0 && fstat(fd, &st) == 0);
	struct timespec now = { st.st_ctim.tv_sec + later, st.st_ctim.tv_nsec };
	struct kernel_origin o = kernel_origin(fd, &now);
	fd_close(&fd);
	return o;
}

static bool recalls(const char *text)
{
	struct kernel_origin o = origin_after(0);
	struct kept_kernel kept;
	return kernel_cache_recall(inner, &o, &kept) == 0 && kept.traits == TRAIT_MCFG &&
	       is_text(&kept, text);
}

static void remember(void)
{
	struct kernel_origin o = origin_after(10);
	cr_assert(o.settled);
	kernel_cache_remember(inner, &o, &kept_key);
}

static int recall_error(void)
{
	struct kernel_origin o = origin_after(10);
	struct kept_kernel kept = { .fd = -1 };
	int rc = kernel_cache_recall(inner, &o, &kept);
	fd_close(&kept.fd);
	return rc;
}

Test(kernel_cache, memo)
{
	put_file("kernel", "packed", 6, 0600);
	keep("hello");
	cr_expect_eq(recall_error(), -ENOENT);
	remember();
	cr_expect(recalls("hello"));
	cr_expect_eq(count_files(), 2);
	remember(); /* again: there is still one */
	cr_expect_eq(count_files(), 2);
	keep("world");
	remember(); /* the same file is another kernel's now: as after a repaired cache */
	cr_expect(recalls("world"));
}

/* Each: a file is changed after its memo was made. */
static const struct change {
	const char *what, *command;
	bool known;
} changes[] = {
	{ "nothing", "true", true },
	{ "read", "cat kernel", true },
	{ "content of the same size", "printf PACKED >kernel", false },
	{ "the same, and its time set back",
		"touch -r kernel ref; printf PACKED >kernel; touch -r ref kernel", false },
	{ "size", "printf x >>kernel", false },
	{ "mtime", "touch -d 2001-01-01 kernel", false },
	{ "another file in its place", "cp -p kernel new; mv new kernel", false },
};

Test(kernel_cache, memo_of_a_changed_file)
{
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		shell("rm -rf a kernel");
		put_file("kernel", "packed", 6, 0600);
		keep("hello");
		remember();
		shell("{ %s; } >out", changes[i].command);
		cr_expect_eq(recalls("hello"), changes[i].known, "%s", changes[i].what);
	}
}

/* A file may be changed again without getting another time until its clock has gone on. */
Test(kernel_cache, no_memo_of_a_file_that_has_just_changed)
{
	put_file("kernel", "packed", 6, 0600);
	keep("hello");
	for (int later = -3600; later <= 2; later += later < 0 ? 1800 : 1) {
		struct kernel_origin o = origin_after(later);
		cr_expect_not(o.settled, "after %d s", later);
		kernel_cache_remember(inner, &o, &kept_key);
		cr_expect_not(recalls("hello"), "after %d s", later);
	}
	cr_expect(origin_after(3).settled);
	/* bytes in memory have no memo */
	struct timespec now = { 0 };
	struct kept_kernel kept;
	struct kernel_origin none = kernel_origin(-1, &now);
	cr_expect_not(none.settled);
	cr_expect_eq(kernel_cache_recall(inner, &none, &kept), -ENOENT);
}

/* Each: what is done to memo or kernel before they are used. */
static const struct spoiled {
	const char *what, *command; /* "$m": the memo, "$k": the kernel */
	bool root;
} spoiled[] = {
	{ "a memo of no kernel", "ln -sfn nothing $m", false },
	{ "a memo of what is elsewhere", "cp $k ../..; ln -sfn ../../$k $m", false },
	{ "a memo of something longer", "ln -sfn ${k}0 $m", false },
	{ "an empty file as a memo", "rm $m; : >$m", false },
	{ "a kernel as a memo", "rm $m; ln $k $m", false },
	{ "a folder as a memo", "rm $m; mkdir $m", false },
	{ "a memo of another user's", "chown -h 1:1 $m", true },
	{ "a kernel that went", "rm $k", false },
	{ "a kernel that others may write to", "chmod g+w $k", false },
	{ "a kernel of another user's", "chown 1:1 $k", true },
	{ "a link in the kernel's place", "mv $k x; ln -s x $k", false },
	{ "a kernel cut short", "truncate -s 10 $k", false },
	{ "a folder that others may write to", "chmod o+w .", false },
	{ "a folder of another user's", "chown 1:1 .", true },
};

Test(kernel_cache, memos_not_to_be_believed)
{
	for (size_t i = 0; i < ARRAY_SIZE(spoiled); i++) {
		if (spoiled[i].root && geteuid() != 0)
			continue;
		shell("rm -rf a kernel");
		put_file("kernel", "packed", 6, 0600);
		keep("hello");
		remember();
		cr_expect(recalls("hello"));
		shell("cd a/b && m=$(echo lacuna-at-*) && k=%s && { %s; }", kept_key.name,
			spoiled[i].command);
		cr_expect_lt(recall_error(), 0, "%s", spoiled[i].what);
	}
}

Test(kernel_cache, memos_do_not_pile_up)
{
	struct kernel_origin first = { 0 };
	struct kept_kernel kept;
	put_file("notes", "", 0, 0600);
	keep("hello");
	shell("cp notes a/b/lacuna-at-home; ln -s notes a/b/lacuna-at-work");
	for (unsigned i = 0; i < 2 * KERNEL_MEMO_MAX; i++) {
		shell("rm -f kernel");
		put_file("kernel", "packed", 6 - i % 3, 0600);
		shell("touch -d @%u kernel", 1000 + i);
		remember();
		struct kernel_origin o = origin_after(10);
		if (!i)
			first = o;
		shell("touch -h -d @%u a/b/%s", 5000 + i, o.memo);
		/* the first is used all the time */
		cr_assert_eq(kernel_cache_recall(inner, &first, &kept), 0);
		cr_expect(is_text(&kept, "hello"));
	}
	cr_expect_eq(count_files(), 1 + KERNEL_MEMO_MAX + 2);
	cr_expect_eq(kernel_cache_recall(inner, &first, &kept), 0);
	fd_close(&kept.fd);
	cr_expect(recalls("hello"));
}
