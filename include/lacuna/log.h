/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LACUNA_LOG_H
#define LACUNA_LOG_H

#ifdef __cplusplus
extern "C" {
#endif

enum lacuna_log_level {
	LACUNA_LOG_WARNING = 1, /* the VM goes on, but not as asked for */
	LACUNA_LOG_INFO = 2,
	LACUNA_LOG_DEBUG = 3, /* what the guest did wrong, rate-limited */
};

/**
 * Receives one message, without a line break. Called on any thread of the VM, and on one of the
 * program's inside a call of the library, possibly on several at once and with locks of the library
 * held: must not call the library, nor block, nor take a lock that the program holds around its
 * calls. Until lacuna_vm_free() of the last VM that has it has returned. @component is a short name
 * such as "virtio-blk". Both strings live until it returns.
 */
typedef void (*lacuna_log_fn)(
	void *opaque, enum lacuna_log_level level, const char *component, const char *message);

#ifdef __cplusplus
}
#endif
#endif
