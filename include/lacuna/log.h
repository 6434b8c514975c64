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
 * Receives one message, without a line break. Called from any thread of the VM, possibly from
 * several at once; must not call back into the VM. @component is a short name such as "virtio-blk".
 * Both strings live until it returns.
 */
typedef void (*lacuna_log_fn)(
	void *opaque, enum lacuna_log_level level, const char *component, const char *message);

#ifdef __cplusplus
}
#endif
#endif
