// SPDX-License-Identifier: Apache-2.0
/*
 * Boots a kernel, streams its console to standard output and returns the guest's exit code.
 *
 *	cc -o hello hello.c $(pkg-config --cflags --libs lacuna)
 *	./hello KERNEL [INITRD [COMMAND-LINE]]
 *
 * Exit status: the code that the guest wrote to port 0xF4; 0 when it powered itself off; 124 when
 *it took longer than a minute; 125 when something else went wrong, which one line on standard error
 * tells.
 */
#include <lacuna/vm.h>
#include <stdio.h>

/* Runs on a thread of the VM, one call at a time. */
static void print(void *opaque, const void *data, size_t size)
{
	fwrite(data, 1, size, opaque);
	fflush(opaque);
}

static int configure(struct lacuna_config *config, int argc, char **argv, struct lacuna_error **err)
{
	int rc = lacuna_config_set(config, "kernel", argv[1], err);
	if (rc == 0 && argc > 2)
		rc = lacuna_config_set(config, "initrd", argv[2], err);
	if (rc == 0)
		rc = lacuna_config_set(
			config, "cmdline", argc > 3 ? argv[3] : "console=ttyS0", err);
	if (rc == 0)
		rc = lacuna_config_set_u64(config, "memory", 512 << 20, err); /* bytes */
	if (rc == 0)
		rc = lacuna_config_set_u64(config, "timeout", 60000000, err); /* microseconds */
	if (rc == 0)
		rc = lacuna_config_set_serial_output(config, print, stdout, err);
	return rc;
}

int main(int argc, char **argv)
{
	struct lacuna_config *config = NULL;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	enum lacuna_end_reason reason = LACUNA_END_NONE;
	int code = 0, status = 125;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: hello KERNEL [INITRD [COMMAND-LINE]]\n");
		return status;
	}
	if (lacuna_config_new(&config, &err) == 0 && configure(config, argc, argv, &err) == 0 &&
		lacuna_vm_new(config, &vm, &err) == 0 && lacuna_vm_start(vm, &err) == 0 &&
		lacuna_vm_wait(vm, &reason, &code, &err) == 0) {
		if (reason == LACUNA_END_EXIT_CODE || reason == LACUNA_END_POWEROFF)
			status = code;
		else if (reason == LACUNA_END_TIMEOUT)
			status = 124;
		fprintf(stderr, "hello: the VM ended by %s %s\n", lacuna_end_reason_name(reason),
			lacuna_vm_end_message(vm));
	} else {
		fprintf(stderr, "hello: %s\n", lacuna_error_message(err));
	}
	lacuna_error_free(err);
	lacuna_vm_free(vm);
	lacuna_config_free(config);
	return status;
}
