// SPDX-License-Identifier: Apache-2.0
/* Directory trees that are deep, that cross mount points, or that change while they are read. */
#include "boot/tree.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/cpio.h"
#include "cpio_fixture.h"
#include "folder_fixture.h"
#include "util/bytes.h"

TestSuite(tree, .init = folder_enter, .fini = folder_leave);

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", path);
	return fd;
}

static unsigned count_descriptors(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");
	cr_assert_not_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static const struct tree_entry *find_path(const struct tree *t, const char *path)
{
	char name[64];
	for (const struct tree_entry *e = NULL; (e = tree_next(t, e));) {
		if (e->path_length >= sizeof(name))
			continue;
		tree_path(e, name);
		if (!strcmp(name, path))
			return e;
	}
	cr_assert(false, "no %s", path);
	return NULL;
}

/* Neither descriptors nor the stack limit the depth; a path may even be longer than any system
 * call takes. */
Test(tree, deep)
{
	const size_t depth = 6000;
	struct rlimit few = { 32, 32 };
	struct tree *t = NULL;
	struct lacuna_error *err = NULL;
	char message[1024], top[64];
	struct archive a;
	const struct tree_entry *e = NULL, *last = NULL;
	size_t count = 0;
	cr_assert_not_null(getcwd(top, sizeof(top)));
	mkdir("in", 0755);
	cr_assert_eq(chdir("in"), 0);
	for (size_t i = 0; i < depth; i++) {
		put_file("a", "1", 1, 0644);
		put_file("z", "2", 1, 0644);
		cr_assert_eq(mkdir("d", 0755), 0);
		cr_assert_eq(chdir("d"), 0);
	}
	cr_assert_eq(chdir(top), 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	unsigned before = count_descriptors();
	cr_assert_eq(tree_read(open_dir("in"), &t, &err), 0, "%s", lacuna_error_message(err));
	cr_expect_leq(count_descriptors(), before + 2);
	while ((e = tree_next(t, e))) {
		last = e;
		count++;
		if (!S_ISREG(e->mode))
			continue;
		int fd = tree_open(t, e, &err);
		cr_assert_geq(fd, 0, "%s", lacuna_error_message(err));
		close(fd);
	}
	cr_expect_eq(count, 3 * depth);
	cr_expect_str_eq(last->name, "z");
	cr_expect_eq(last->depth, 1);
	tree_free(t);
	cr_expect_eq(count_descriptors(), before);
	cr_expect_eq(archive_make("in", NULL, &a, message), -ENAMETOOLONG);
}

Test(tree, many)
{
	shell("mkdir in && cd in && seq -f 'f%%05.0f' 20000 | xargs touch");
	struct archive a = archive_of("in");
	cr_expect_eq(record_of(&a, "f20000").field[CPIO_INO], 20000);
	free(a.data);
}

Test(tree, mount_points_are_crossed)
{
	mkdir("in", 0755);
	mkdir("in/mnt", 0755);
	mkdir("in/z", 0755);
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", "in/mnt", "tmpfs", 0, "mode=700"))
		FOLDER_SKIP("needs root");
	shell("mkdir in/mnt/d && echo 1 >in/mnt/d/f && echo 2 >in/mnt/g && ln in/mnt/g in/mnt/h && "
	      "echo 3 >in/z/f && mount -t tmpfs none in/mnt/d && echo 4 >in/mnt/d/hidden");
	struct archive a = archive_of("in");
	cr_expect_eq(record_of(&a, "mnt").field[CPIO_MODE], S_IFDIR | 0700);
	cr_expect_arr_eq(record_of(&a, "mnt/d/hidden").content, "4\n", 2);
	cr_expect_arr_eq(record_of(&a, "mnt/g").content, "2\n", 2);
	cr_expect_eq(record_of(&a, "mnt/h").field[CPIO_NLINK], 2);
	cr_expect_arr_eq(record_of(&a, "z/f").content, "3\n", 2);
	free(a.data);
	cr_expect_eq(umount("in/mnt/d"), 0);
	cr_expect_eq(umount("in/mnt"), 0);
}

/* Files of two file systems may have the same number, here also one between the names of another.
 */
Test(tree, links_are_of_one_file_system)
{
	mkdir("in", 0755);
	mkdir("in/a", 0755);
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", "in/a", "tmpfs", 0, NULL) || mkdir("in/a/m", 0755) ||
		mount("none", "in/a/m", "tmpfs", 0, NULL))
		FOLDER_SKIP("needs root");
	shell("cd in/a && echo a >f && ln f z && touch m/first && echo b >m/f && ln m/f m/g && "
	      "[ $(stat -c %%i f) = $(stat -c %%i m/f) ]");
	struct archive a = archive_of("in");
	struct record f = record_of(&a, "a/f"), mf = record_of(&a, "a/m/f");
	cr_expect(f.field[CPIO_NLINK] == 2 && mf.field[CPIO_NLINK] == 2);
	cr_expect_neq(f.field[CPIO_INO], mf.field[CPIO_INO]);
	cr_expect_eq(record_of(&a, "a/z").field[CPIO_INO], f.field[CPIO_INO]);
	cr_expect_eq(record_of(&a, "a/m/g").field[CPIO_INO], mf.field[CPIO_INO]);
	cr_expect_arr_eq(f.content, "a\n", 2);
	cr_expect_arr_eq(mf.content, "b\n", 2);
	free(a.data);
	cr_expect_eq(umount("in/a/m"), 0);
	cr_expect_eq(umount("in/a"), 0);
}

struct change_case {
	char between[128]; /* a command that runs when the tree has been listed */
	int rc;
	char message[128];
};

ParameterizedTestParameters(tree, changes)
{
	static struct change_case c[] = {
		{ "echo more >>in/d/f", -EINVAL,
			"'d/f' went from 4 to 9 bytes while the directory was read: try again" },
		{ "truncate -s 3 in/d/f", -EINVAL, "'d/f' went from 4 to 3 bytes" },
		{ "rm in/d/f", -ENOENT, "'d/f' vanished while the directory was read: try again" },
		{ "mv in/d/f in/d/g", -ENOENT, "'d/f' vanished" },
		{ "rm -r in/d", -ENOENT, "'d' vanished" },
		{ "mv in/d .", -ENOENT, "'d' vanished" },
		{ "cp in/d/f new && mv new in/d/f", -EINVAL,
			"'d/f' was replaced while the directory was read: try again" },
		{ "ln -sf /etc/passwd in/d/f", -EINVAL, "'d/f' was replaced" },
		{ "mv in/d/f . && ln -s ../../f in/d/f", -EINVAL, "'d/f' was replaced" },
		{ "rm in/d/f && mkfifo in/d/f", -EINVAL, "'d/f' was replaced" },
		{ "rm in/d/f && mkdir in/d/f", -EINVAL, "'d/f' was replaced" },
		{ "rm in/d/f && socat -u UNIX-LISTEN:in/d/f,unlink-close=0 /dev/null & "
		  "until [ -S in/d/f ]; do :; done; kill $!",
			-EINVAL, "'d/f' was replaced" },
		{ "mv in/d . && cp -a d in/d", -EINVAL, "'d' was replaced" },
		{ "mv in/d . && ln -s ../d in/d", -EINVAL, "'d' was replaced" },
		{ "rm -r in/d && touch in/d", -EINVAL, "'d' was replaced" },
		/* not read in the second pass: what was listed stands */
		{ "rm in/link", 0, "" },
		{ "rmdir in/empty", 0, "" },
		{ "chmod 600 in/d/f && touch in/d/f in/d/new", 0, "" },
		{ "mv in elsewhere", 0, "" },
	};
	return cr_make_param_array(struct change_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct change_case *c, tree, changes)
{
	struct archive a;
	char message[1024];
	shell("mkdir -p in/d in/empty && echo one >in/d/f && ln -s d/f in/link");
	int rc = archive_make("in", c->between, &a, message);
	cr_expect_eq(rc, c->rc, "%s: %d", c->between, rc);
	cr_expect(strstr(message, c->message) == message, "%s: %s", c->between, message);
	free(a.data);
}

/* A directory may be moved away while we are in it. The way back then leads elsewhere. */
Test(tree, moved_from_under)
{
	struct tree *t = NULL;
	struct lacuna_error *err = NULL;
	shell("mkdir -p in/a/b/c other && echo 1 >in/a/b/c/f && echo 2 >in/z && echo 3 >other/z");
	cr_assert_eq(tree_read(open_dir("in"), &t, NULL), 0);
	int fd = tree_open(t, find_path(t, "a/b/c/f"), NULL);
	cr_assert_geq(fd, 0);
	close(fd);
	shell("mkdir -p other/x && mv in/a/b other/x");
	cr_expect_eq(tree_open(t, find_path(t, "z"), &err), -EINVAL);
	cr_expect_str_eq(lacuna_error_message(err),
		"'a/b' was replaced while the directory was read: try again");
	lacuna_error_free(err);
	tree_free(t);
}

/* Files of /proc have more than their size says, those of /sys less: what a file would look like
 * that grows or shrinks just when it is read. */
Test(tree, sizes_that_lie)
{
	struct archive a;
	char message[1024];
	cr_expect_eq(archive_make("/proc/sys/kernel/random", NULL, &a, message), -EINVAL);
	cr_expect_str_eq(message,
		"'boot_id' has more than the 0 bytes that its file system said: try again, or copy it");
	if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK))
		FOLDER_SKIP("no such file in /sys");
	cr_expect_eq(
		archive_make("/sys/kernel/mm/transparent_hugepage", NULL, &a, message), -EINVAL);
	cr_expect(strstr(message, "': shrank from 4096 to "), "%s", message);
}

Test(tree, not_a_directory)
{
	struct tree *t = NULL;
	unsigned before = count_descriptors();
	put_file("file", "", 0, 0644);
	cr_expect_eq(tree_read(open("file", O_RDONLY | O_CLOEXEC), &t, NULL), -ENOTDIR);
	cr_expect_eq(tree_read(-1, &t, NULL), -EBADF);
	cr_expect_null(t);
	cr_expect_eq(count_descriptors(), before);
	tree_free(NULL);
}

Test(tree, shown_path)
{
	struct tree *t = NULL;
	char shown[TREE_SHOWN_MAX], path[512], component[129];
	memset(component, 'x', 128);
	component[128] = '\0';
	/* the last name is what varies; two more are above it */
	for (size_t len = 1; len <= 128; len++) {
		shell("rm -rf in && mkdir -p in/%s/%s && touch in/%s/%s/%.*s", component, component,
			component, component, (int)len, component);
		cr_assert_eq(tree_read(open_dir("in"), &t, NULL), 0);
		const struct tree_entry *e = tree_find(t, component)->child->child;
		cr_assert_eq(e->path_length, 258 + len);
		tree_path(e, path);
		const char *s = tree_show(e, shown);
		cr_assert(!strncmp(s, "...", 3), "%s", s);
		cr_expect(strlen(s) > 240 && strlen(s) < TREE_SHOWN_MAX, "%zu", strlen(s));
		cr_expect_str_eq(s + 3, path + strlen(path) - (strlen(s) - 3));
		tree_free(t);
	}
}
