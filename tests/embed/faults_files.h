/* SPDX-License-Identifier: Apache-2.0 */
/* The files and sockets that the VMs of faults.c are made of. */
#ifndef EMBED_FAULTS_FILES_H
#define EMBED_FAULTS_FILES_H

#include <limits.h>

/*
 * Makes a folder of our own with kernels ("bzImage.plain", ".gzip", ".xz", ".zstd"), an "initrd"
 * and a directory "tree" for one, three disks ("disk", "disk2", "disk3"), "pmem", "console", and
 * "passt", where somebody listens. @guests is the folder of the guests. The process ends if it
 * can't.
 */
void files_make(const char *guests);
void files_remove(void);

/* Hangs up on whoever came to "listener", and forgets the kernels that were kept in "cache". */
void files_refresh(void);

/* How many there are in the folder. */
long files_count(void);

/* @text with that folder for "@" and that of the guests for "#", in @buf, which it returns. And
 * "%NAME," becomes the number that files_open() gives for "@/NAME". */
const char *files_expand(const char *text, char buf[PATH_MAX]);

/* A descriptor for @path: of a file, or where nothing is, of a socket: one that listens, if that is
 * called "listen...", else one end of a pair. The same each time; nobody closes it. */
int files_open(const char *path);

#endif
