/* SPDX-License-Identifier: Apache-2.0 */
/* Option "net": its text, and the host's side that it asks for. */
#ifndef VIRTIO_NET_OPTIONS_H
#define VIRTIO_NET_OPTIONS_H

#include "virtio/net.h"

extern const char *const net_option_keys[];

/* Reads @args and opens what they ask for. */
int net_options_read(const struct keyval *args, struct net_options *ret, struct lacuna_error **err);
/* Closes it again. */
void net_options_done(struct net_options *options);

#endif
