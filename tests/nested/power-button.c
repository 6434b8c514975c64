// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a guest through liblacuna and presses its power button once, when the guest has printed the
 * marker: power-button KERNEL INITRD CMDLINE MARKER. The guest's console is standard output. Exit
 * status 0 if the guest then powered itself off.
 */
#include <lacuna/vm.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what, struct lacuna_error *err)
{
	fprintf(stderr, "power-button: %s: %s\n", what, lacuna_error_message(err));
	lacuna_error_free(err);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static const char *const keys[] = { "kernel", "initrd", "cmdline", "marker" };
	struct lacuna_config *config = NULL;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	enum lacuna_end_reason reason = LACUNA_END_NONE;
	bool pressed = false;

	if (argc != 5 || lacuna_config_new(&config, &err) < 0)
		return fail("usage: KERNEL INITRD CMDLINE MARKER", err);
	for (int i = 0; i < 4; i++)
		if (lacuna_config_set(config, keys[i], argv[i + 1], &err) < 0)
			return fail(keys[i], err);
	if (lacuna_config_set(config, "serial", "stdio", &err) < 0 ||
		lacuna_config_set(config, "timeout", "120s", &err) < 0)
		return fail("configuration", err);
	if (lacuna_vm_new(config, &vm, &err) < 0 || lacuna_vm_start(vm, &err) < 0)
		return fail("start", err);

	struct pollfd end = { .fd = lacuna_vm_end_fd(vm), .events = POLLIN };
	while (poll(&end, 1, 20) == 0) {
		struct lacuna_stats stats = { .size = sizeof(stats) };
		lacuna_vm_stats(vm, &stats);
		if (!pressed && stats.marker_us != LACUNA_TIME_NEVER) {
			lacuna_vm_power_button(vm, NULL);
			pressed = true;
		}
	}
	if (lacuna_vm_wait(vm, &reason, NULL, &err) < 0)
		return fail("wait", err);
	fprintf(stderr, "power-button: %s, ended by %s\n", pressed ? "pressed" : "never pressed",
		lacuna_end_reason_name(reason));
	lacuna_vm_free(vm);
	lacuna_config_free(config);
	return pressed && reason == LACUNA_END_POWEROFF ? EXIT_SUCCESS : EXIT_FAILURE;
}
