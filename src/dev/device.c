// SPDX-License-Identifier: Apache-2.0
/* What every device needs to tell of itself. */
#include "dev/device.h"

#include <inttypes.h>
#include <stdio.h>

void device_emit_u64(void (*emit)(void *opaque, const char *key, const char *value), void *opaque,
	const char *key, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, value);
	emit(opaque, key, text);
}
