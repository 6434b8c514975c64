/* SPDX-License-Identifier: Apache-2.0 */
/* What the process holds, to be compared before and after. */
#ifndef EMBED_HELD_H
#define EMBED_HELD_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct held {
	long descriptors, threads;
	/* 0 under a sanitizer, which has mappings of its own whenever it likes */
	long mappings, resident_kib;
};

struct held held_now(void);

/* Entries of a folder, without hidden ones. */
long held_entries(const char *path);

#endif
