/* SPDX-License-Identifier: Apache-2.0 */
/* How devices through which the guest ends its own life tell the machine. */
#ifndef DEV_END_H
#define DEV_END_H

enum end_kind {
	END_POWEROFF,
	END_RESET,
	END_EXIT_CODE,
};

/* Called on vCPU threads with no device lock held, perhaps again and again until the vCPUs have
 * stopped: the first call counts. @code is 0 but for END_EXIT_CODE. */
struct end_sink {
	void (*end)(void *opaque, enum end_kind kind, int code);
	void *opaque;
};

#endif
