/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt(1), which connects a virtual machine to the network of the host without any privileges: one
 * of our own, or somebody's that listens on a Unix socket. Frames as in backend/netstream.h.
 *
 * Our own is a child process in the foreground. It has no descriptor of ours but its end of a
 * socket pair, and ends by itself when our end is closed, so also when we are killed.
 */
#ifndef BACKEND_PASST_H
#define BACKEND_PASST_H

#include <lacuna/error.h>
#include <stdint.h>

struct passt;

/* Starts a passt for a guest whose MAC address is @mac. @ret_fd, the stream, is the caller's. */
int passt_start(const uint8_t mac[6], struct passt **ret, int *ret_fd, struct lacuna_error **err);
/* Waits until it serves @fd, the stream; its own last words are in the error if it does not. */
int passt_wait(struct passt *p, int fd, struct lacuna_error **err);
/* Becomes readable when the process has ended. */
int passt_pidfd(const struct passt *p);
/* Ends the process if it lives, and reaps it. NULL is fine. */
void passt_free(struct passt *p);

/* Connects to the passt that listens on @path. */
int passt_connect(const char *path, int *ret_fd, struct lacuna_error **err);

#endif
