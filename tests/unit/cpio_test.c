// SPDX-License-Identifier: Apache-2.0
/* Archives of directories: whatever can be in one, as Debian's cpio unpacks it and as the headers
 * say it. */
#include "boot/cpio.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cpio_fixture.h"
#include "folder_fixture.h"
#include "util/bytes.h"

#define ROOT_SIZE    112
#define TRAILER_SIZE 124

TestSuite(cpio, .init = folder_enter, .fini = folder_leave);

/*
 * Everything about every entry below a folder, as text: lines that end with NUL, since names may
 * hold line breaks. Times of directories and links are left out, which Debian's cpio does not set.
 */
#define DESCRIBE                                                                                     \
	"describe() { cd \"$1\"; find . -mindepth 1 -printf '%%P|%%y|%%m|%%U|%%G|%%l\\0' | sort -z;" \
	"  find . ! -type d ! -type l -printf '%%P|%%T@\\0' | sort -z;"                              \
	"  find . -type f -exec sha256sum {} + | sort;"                                              \
	"  find . -type f -links +1 -printf '%%P %%n\\n' | sort;"                                    \
	"  find . \\( -type b -o -type c \\) -exec stat -c '%%n %%t %%T' {} + | sort; cd ..; }; "

static void make_names(void)
{
	char longest[256] = "";
	memset(longest, 'n', 255);
	mkdir("in/names", 0755);
	put_file("in/names/two words", "1", 1, 0644);
	put_file("in/names/line\nbreak", "2", 1, 0644);
	put_file("in/names/\xff\xfe\x80", "3", 1, 0644);
	put_file("in/names/-rf", "4", 1, 0644);
	put_file("in/names/...", "5", 1, 0644);
	put_file("in/names/*?[a]\\", "6", 1, 0644);
	put_file("in/names/TRAILER!!!", "7", 1, 0644);
	shell("echo 8 >in/names/%s", longest);
}

static void make_devices(void)
{
	cr_assert_eq(mkfifo("in/fifo", 0640), 0);
	cr_assert_eq(mknod("in/socket", S_IFSOCK | 0600, 0), 0);
	if (geteuid())
		return;
	cr_assert_eq(mknod("in/console", S_IFCHR | 0600, makedev(5, 1)), 0);
	cr_assert_eq(mknod("in/disk", S_IFBLK | 0660, makedev(259, 1048575)), 0);
	shell("chown 12:34 in/etc/passwd && chown -h 56:78 in/link && chown 4294967294:1 in/fifo");
}

static void make_tree(void)
{
	shell("mkdir -p in/etc/empty in/sbin in/zz/a/b in/zz/c && chmod 1777 in/etc/empty");
	put_file("in/etc/passwd", "root:x:0:0:root\n", 16, 0644);
	put_file("in/etc/shadow", "", 0, 0400);
	put_file("in/sbin/init", "#!/bin/sh\n", 10, 0755);
	put_file("in/sbin/su", "suid", 4, 06755);
	put_file("in/zz/a/b/deep", "deep", 4, 0444);
	shell("head -c 1234567 /dev/urandom >in/random");
	shell("ln -s sbin/init in/init && ln -s nowhere/at/all in/link && ln -s / in/zz/c/root");
	make_names();
	make_devices();
	shell("find in -exec touch -h -d @1234567890 {} +");
	shell("touch -d @0 in/etc/passwd && touch -d @4294967295 in/sbin");
}

Test(cpio, all_there_is)
{
	make_tree();
	struct archive a = archive_of("in");
	archive_unpack(&a, "out");
	shell(DESCRIBE "describe in >1; describe out >2; cmp 1 2 || { diff -a 1 2; false; }");
	cr_expect_eq(record_of(&a, "sbin").field[CPIO_MTIME], 4294967295);
	cr_expect_eq(record_of(&a, "init").field[CPIO_MTIME], 1234567890);
	/* Debian's cpio sees the same without unpacking: it lists each name once */
	shell("cpio --quiet -t0 <archive | sort -z >1; "
	      "cd in && find . \\( -name . -printf '.\\0' \\) -o -printf '%%P\\0' | sort -z | cmp - ../1");
	free(a.data);
}

Test(cpio, same_tree_same_bytes)
{
	static const char *const orders[] = { "a b c", "c b a" };
	struct archive a[2];
	for (size_t i = 0; i < 2; i++) {
		shell("rm -rf in && mkdir in && cd in && for d in %s; do mkdir $d && for f in %s z; do "
		      "echo $f >$d/$f; ln $d/$f $d/$f.link; done; done; find . -exec touch -d @7 {} +",
			orders[i], orders[i]);
		a[i] = archive_of("in");
	}
	struct archive again = archive_of("in");
	cr_assert_eq(a[0].size, a[1].size);
	cr_expect_arr_eq(a[0].data, a[1].data, a[0].size);
	cr_assert_eq(again.size, a[1].size);
	cr_expect_arr_eq(again.data, a[1].data, again.size);
	free(a[0].data);
	free(a[1].data);
	free(again.data);
}

/* Names in the order of their bytes, a directory before what is in it and that before its
 * neighbours. */
Test(cpio, order)
{
	static const char *const expected[] = { ".", "B", "B/x", "a", "a/b", "a/b/c", "a/b.d",
		"a.b", "\xc3\xa4", "TRAILER!!!" };
	size_t at = 0;
	mkdir("in", 0755);
	shell("cd in && mkdir -p a/b B && touch a.b a/b.d a/b/c B/x && touch '\xc3\xa4'");
	struct archive a = archive_of("in");
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		struct record r = record_at(&a, at);
		cr_expect_str_eq(r.name, expected[i]);
		cr_expect_eq(r.field[CPIO_DEVMAJOR], 4096);
		cr_expect_eq(r.field[CPIO_CHECK], 0);
		if (i + 1 < ARRAY_SIZE(expected))
			cr_expect_eq(r.field[CPIO_INO], i);
		at = r.end;
	}
	cr_expect_eq(at, a.size);
	free(a.data);
}

/* Whatever the folder's mode is: it may be one that mktemp has made. */
Test(cpio, empty_directory)
{
	shell("mkdir -m 700 in && touch -d @1234567890 in");
	if (!geteuid())
		shell("chown 1000:1000 in");
	struct archive a = archive_of("in");
	cr_assert_eq(a.size, ROOT_SIZE + TRAILER_SIZE);
	struct record root = record_at(&a, 0), trailer = record_at(&a, root.end);
	cr_expect_str_eq(root.name, ".");
	cr_expect_eq(root.field[CPIO_MODE], S_IFDIR | 0755);
	cr_expect(root.field[CPIO_UID] == 0 && root.field[CPIO_GID] == 0);
	cr_expect_eq(root.field[CPIO_MTIME], 1234567890);
	cr_expect_str_eq(trailer.name, "TRAILER!!!");
	cr_expect_eq(trailer.field[CPIO_FILESIZE], 0);
	archive_unpack(&a, "out");
	shell("[ $(stat -c %%a out) = 755 ] && rmdir out");
	free(a.data);
}

ParameterizedTestParameters(cpio, padding)
{
	static size_t sizes[] = { 0, 1, 2, 3, 4, 5, 4095, 4096, 4097 };
	return cr_make_param_array(size_t, sizes, ARRAY_SIZE(sizes));
}

ParameterizedTest(size_t *size, cpio, padding)
{
	uint8_t content[4097];
	char name[8] = "in/";
	mkdir("in", 0755);
	memset(content, 'x', sizeof(content));
	for (size_t i = 1; i <= 4; i++) { /* of the name, too */
		name[2 + i] = 'f';
		put_file(name, content, *size, 0644);
	}
	struct archive a = archive_of("in");
	for (size_t i = 1; i <= 4; i++) {
		name[3 + i] = '\0';
		memset(name + 3, 'f', i);
		struct record r = record_of(&a, name + 3);
		cr_expect_eq(r.field[CPIO_FILESIZE], *size);
		cr_expect_arr_eq(r.content, content, *size);
	}
	archive_unpack(&a, "out");
	shell("diff -r in out");
	free(a.data);
}

Test(cpio, hard_links)
{
	shell("mkdir -p in/a in/b && echo content >in/b/2 && chmod 444 in/b/2 && ln in/b/2 in/a/1 && "
	      "ln in/b/2 in/c3 && ln in/b/2 outside && echo alone >in/one && ln in/one outside1 && "
	      "mkfifo in/fifo && ln in/fifo in/fifo2 && ln -s x in/s1 && ln -P in/s1 in/s2");
	struct archive a = archive_of("in");
	struct record first = record_of(&a, "a/1"), second = record_of(&a, "b/2");
	struct record third = record_of(&a, "c3"), one = record_of(&a, "one");
	cr_expect_eq(first.field[CPIO_NLINK], 3, "those in the tree count");
	cr_expect_eq(first.field[CPIO_FILESIZE], 8);
	cr_expect_arr_eq(first.content, "content\n", 8);
	cr_expect(second.field[CPIO_NLINK] == 3 && third.field[CPIO_NLINK] == 3);
	cr_expect(second.field[CPIO_FILESIZE] == 0 && third.field[CPIO_FILESIZE] == 0);
	cr_expect_eq(second.field[CPIO_INO], first.field[CPIO_INO]);
	cr_expect_eq(third.field[CPIO_INO], first.field[CPIO_INO]);
	cr_expect_eq(one.field[CPIO_NLINK], 1);
	cr_expect_eq(one.field[CPIO_FILESIZE], 6);
	struct record fifo = record_of(&a, "fifo"), fifo2 = record_of(&a, "fifo2");
	cr_expect(fifo.field[CPIO_NLINK] == 2 && fifo2.field[CPIO_NLINK] == 2);
	cr_expect_eq(fifo.field[CPIO_INO], fifo2.field[CPIO_INO]);
	/* Linux makes no links of symbolic links: each must have its target */
	struct record s1 = record_of(&a, "s1"), s2 = record_of(&a, "s2");
	cr_expect(s1.field[CPIO_NLINK] == 1 && s2.field[CPIO_NLINK] == 1);
	cr_expect(s1.field[CPIO_FILESIZE] == 1 && s2.field[CPIO_FILESIZE] == 1);

	archive_unpack(&a, "out");
	shell("cd out && [ a/1 -ef b/2 ] && [ c3 -ef b/2 ] && [ \"$(cat c3)\" = content ] && "
	      "[ $(stat -c %%h c3) = 3 ] && [ \"$(cat one)\" = alone ] && [ $(readlink s2) = x ]");
	free(a.data);
}

/* On its own this name would end the archive. */
Test(cpio, file_called_as_the_trailer)
{
	shell("mkdir -p in/d && echo 1 >'in/TRAILER!!!' && ln 'in/TRAILER!!!' in/zz && "
	      "echo 2 >'in/d/TRAILER!!!'");
	struct archive a = archive_of("in");
	cr_expect_eq(record_of(&a, "./TRAILER!!!").field[CPIO_FILESIZE], 2);
	cr_expect_eq(record_of(&a, "d/TRAILER!!!").field[CPIO_FILESIZE], 2);
	archive_unpack(&a, "out");
	shell("diff -r in out && [ 'out/TRAILER!!!' -ef out/zz ]");
	free(a.data);
}

struct time_case {
	const char *set;
	uint32_t mtime;
};

Test(cpio, times_beyond_the_format)
{
	static const struct time_case c[] = {
		{ "@-1", 0 },
		{ "@0.9", 0 },
		{ "@4294967295", UINT32_MAX },
		{ "@4294967296", UINT32_MAX },
	};
	mkdir("in", 0755);
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		shell("touch -d %s in/f", c[i].set);
		struct archive a = archive_of("in");
		cr_expect_eq(record_of(&a, "f").field[CPIO_MTIME], c[i].mtime, "%s", c[i].set);
		free(a.data);
	}
}

/* A path with its NUL has 4096 bytes at the most; Linux passes over longer ones without a word. */
static void make_path(size_t length)
{
	char name[251], rest[251];
	memset(name, 'd', 249);
	name[249] = '\0';
	cr_assert_eq(mkdir("in", 0755), 0);
	cr_assert_eq(chdir("in"), 0);
	for (; length > 500; length -= 250) {
		cr_assert_eq(mkdir(name, 0755), 0);
		cr_assert_eq(chdir(name), 0);
	}
	memset(rest, 'f', 250);
	rest[250] = '\0';
	cr_assert_eq(mkdir(rest, 0755), 0);
	cr_assert_eq(chdir(rest), 0);
	rest[length - 251] = '\0';
	put_file(rest, "x", 1, 0644);
}

Test(cpio, longest_path)
{
	char top[64];
	cr_assert_not_null(getcwd(top, sizeof(top)));
	make_path(4095);
	cr_assert_eq(chdir(top), 0);
	struct archive a = archive_of("in");
	struct record r = { 0 }, last;
	do {
		last = r;
		r = record_at(&a, r.end);
	} while (strcmp(r.name, "TRAILER!!!"));
	cr_expect_eq(last.field[CPIO_NAMESIZE], 4096);
	archive_unpack(&a, "out");
	shell("for d in in out; do (cd $d && find . -printf '%%P %%y %%s\\n' | sort) >$d.list; done; "
	      "grep -q ' f 1$' in.list && cmp in.list out.list");
	free(a.data);
}

Test(cpio, path_too_long)
{
	struct archive a;
	char top[64], message[1024];
	cr_assert_not_null(getcwd(top, sizeof(top)));
	make_path(4096);
	cr_assert_eq(chdir(top), 0);
	cr_expect_eq(archive_make("in", NULL, &a, message), -ENAMETOOLONG);
	cr_expect(strstr(message, "the path of '..."), "%s", message);
	cr_expect(strstr(message, "has 4096 bytes, and Linux unpacks none above 4095"), "%s",
		message);
	cr_expect_lt(strlen(message), 400);
}

Test(cpio, longest_link)
{
	char target[4096];
	memset(target, 't', 4095);
	target[4095] = '\0';
	mkdir("in", 0755);
	cr_assert_eq(symlink(target, "in/link"), 0);
	struct archive a = archive_of("in");
	struct record r = record_of(&a, "link");
	cr_expect_eq(r.field[CPIO_FILESIZE], 4095);
	cr_expect_arr_eq(r.content, target, 4095);
	free(a.data);
}

Test(cpio, file_of_4_gib)
{
	struct archive a;
	struct tree *tree;
	uint64_t size;
	char message[1024];
	shell("mkdir in && truncate -s 4294967296 in/image");
	cr_expect_eq(archive_make("in", NULL, &a, message), -EFBIG);
	cr_expect_str_eq(message,
		"'image' has 4096 MiB, and files in an initramfs end below 4 GiB: put it on a disk");
	shell("truncate -s 4294967295 in/image");
	cr_assert_eq(tree_read(open("in", O_RDONLY | O_CLOEXEC), &tree, NULL), 0);
	cr_expect_eq(cpio_measure(tree, &size, NULL), 0);
	cr_expect_eq(size, 4 * GIB + 116 + ROOT_SIZE + TRAILER_SIZE);
	tree_free(tree);
}

/* What does not fit is found before it is written. */
Test(cpio, buffer_of_another_size)
{
	struct tree *tree;
	uint8_t buf[1024];
	uint64_t size;
	shell("mkdir in && echo 1 >in/a && ln -s target in/b && mkdir in/c");
	cr_assert_eq(tree_read(open("in", O_RDONLY | O_CLOEXEC), &tree, NULL), 0);
	cr_assert_eq(cpio_measure(tree, &size, NULL), 0);
	cr_assert_lt(size, sizeof(buf));
	for (uint64_t n = 0; n < sizeof(buf); n++) {
		memset(buf, 0xee, sizeof(buf));
		cr_expect_eq(cpio_write(tree, buf, n, NULL), n == size ? 0 : -EFBIG);
		for (size_t i = min_u64(n, size); i < sizeof(buf); i++)
			cr_assert_eq(buf[i], 0xee, "%zu of %llu", i, (unsigned long long)n);
	}
	tree_free(tree);
}

/* --- owners and rights --- */

static void become(uid_t uid)
{
	if (geteuid())
		FOLDER_SKIP("needs root");
	cr_assert_eq(setegid(uid), 0);
	cr_assert_eq(seteuid(uid), 0);
}

/* Capabilities go with the user: from here on nobody is root. */
static int make_as(uid_t uid, struct archive *ret, char message[1024])
{
	become(uid);
	int rc = archive_make("in", NULL, ret, message);
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(setegid(0), 0);
	return rc;
}

static void expect_owner(const struct archive *a, const char *name, uint32_t uid, uint32_t gid)
{
	struct record r = record_of(a, name);
	cr_expect(r.field[CPIO_UID] == uid && r.field[CPIO_GID] == gid, "%s: %u:%u", name,
		r.field[CPIO_UID], r.field[CPIO_GID]);
}

Test(cpio, a_users_files_are_roots)
{
	struct archive a;
	char message[1024];
	if (geteuid())
		FOLDER_SKIP("needs root");
	shell("mkdir in && cd in && touch mine roots others group && ln -s x link && mkdir dir && "
	      "chown 1000:1000 mine dir && chown -h 1000:1000 link && chown 1001:1001 others && "
	      "chown 1000:50 group");
	cr_assert_eq(make_as(1000, &a, message), 0, "%s", message);
	expect_owner(&a, "mine", 0, 0);
	expect_owner(&a, "dir", 0, 0);
	expect_owner(&a, "link", 0, 0);
	expect_owner(&a, "roots", 0, 0);
	expect_owner(&a, "others", 1001, 1001);
	expect_owner(&a, "group", 0, 50);
	free(a.data);

	a = archive_of("in");
	expect_owner(&a, "mine", 1000, 1000);
	expect_owner(&a, "roots", 0, 0);
	free(a.data);
}

struct secret_case {
	const char *make;
	const char *message; /* NULL: no error */
};

Test(cpio, without_permission)
{
	static const struct secret_case c[] = {
		{ "echo x >in/d/f && chmod 0 in/d/f", "open 'd/f': Permission denied" },
		{ "mkdir in/d/x && chmod 0 in/d/x", "open 'd/x': Permission denied" },
		{ "touch in/d/f && chmod 444 in/d", "stat 'd/f': Permission denied" },
		{ "chmod 111 in/d", "open 'd': Permission denied" },
		/* may be listed and not be searched, but there is nothing to look for */
		{ "chmod 444 in/d && mkdir in/e && touch in/e/f", NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct archive a;
		char message[1024];
		shell("rm -rf in && mkdir -p in/d && %s", c[i].make);
		int rc = make_as(1000, &a, message);
		cr_expect_eq(rc, c[i].message ? -EACCES : 0, "%s: %d", c[i].make, rc);
		cr_expect_str_eq(message, c[i].message ? c[i].message : "");
		free(a.data);
	}
}
