// SPDX-License-Identifier: Apache-2.0
/* What devices have in common: how they tell of themselves, and what callbacks tell of theirs. */
#include "dev/device.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/err.h"

void device_emit_u64(void (*emit)(void *opaque, const char *key, const char *value), void *opaque,
	const char *key, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, value);
	emit(opaque, key, text);
}

int device_callback_result(
	const char *what, int rc, struct lacuna_error *own, struct lacuna_error **err)
{
	const char *why = rc < 0 && rc > -4096 ? strerrordesc_np(-rc) : NULL;
	if (rc && !why)
		rc = err_set(err, EINVAL, "%s() returned %d, which is not -errno", what, rc);
	else if (rc && own)
		err_set(err, -rc, "%s", lacuna_error_message(own));
	else if (rc)
		err_set(err, -rc, "%s() failed: %s", what, why);
	lacuna_error_free(own);
	return rc;
}
