// SPDX-License-Identifier: Apache-2.0
/* An embedder, built against an installed copy of the library: runs the built-in guest and tells
 * how it ended. */
#include <lacuna/vm.h>
#include <stdio.h>

static int failed(struct lacuna_error *err)
{
	fprintf(stderr, "%s\n", lacuna_error_message(err));
	lacuna_error_free(err);
	return 1;
}

int main(int argc, char **argv)
{
	struct lacuna_config *config = NULL;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	enum lacuna_end_reason reason = LACUNA_END_NONE;
	(void)argv;
	if (argc > 1) {
		printf("%s\n", lacuna_version());
		return 0;
	}
	if (lacuna_config_new(&config, &err) < 0 || lacuna_vm_new(config, &vm, &err) < 0 ||
		lacuna_vm_start(vm, &err) < 0 || lacuna_vm_wait(vm, &reason, NULL, &err) < 0)
		return failed(err);
	printf("%s\n", lacuna_end_reason_name(reason));
	lacuna_vm_free(vm);
	lacuna_config_free(config);
	return 0;
}
