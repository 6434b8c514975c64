// SPDX-License-Identifier: Apache-2.0
/*
 * Signals that kick a vCPU out of its guest and never get there: the first few are dropped here.
 * A VM can be paused and ended all the same. Prints TAP.
 */
#include <fcntl.h>
#include <lacuna/vm.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int to_lose, lost;

int __real_pthread_kill(pthread_t thread, int signal);
int __wrap_pthread_kill(pthread_t thread, int signal);

int __wrap_pthread_kill(pthread_t thread, int signal)
{
	if (atomic_fetch_sub(&to_lose, 1) <= 0)
		return __real_pthread_kill(thread, signal);
	atomic_fetch_add(&lost, 1);
	return 0;
}

static void check(int rc, struct lacuna_error *err)
{
	if (rc == 0)
		return;
	printf("not ok - %s\n1..1\n", lacuna_error_message(err));
	exit(1);
}

static atomic_bool hangs;

static void look(void *opaque, const void *data, size_t size)
{
	if (memchr(data, '\n', size))
		hangs = true;
}

/* By KVM's own counter, 1 while the vCPU sleeps; as good as asleep where there is none. */
static void note_blocking(void *opaque, const char *name, uint64_t value)
{
	if (!strcmp(name, "blocking"))
		*(bool *)opaque = value;
}

static bool sleeps(const struct lacuna_vm *vm)
{
	bool blocking = true;
	lacuna_vm_kvm_stats(vm, note_blocking, &blocking, NULL);
	return blocking;
}

/* A guest that has halted for good, so that nothing but a kick brings its vCPU back. */
static struct lacuna_vm *halted(const char *kernel)
{
	struct lacuna_error *err = NULL;
	struct lacuna_config *config = NULL;
	struct lacuna_vm *vm = NULL;
	hangs = false;
	check(lacuna_config_new(&config, &err), err);
	check(lacuna_config_set(config, "kernel", kernel, &err), err);
	check(lacuna_config_set(config, "cmdline", "test=hang", &err), err);
	check(lacuna_config_set_serial_output(config, look, NULL, &err), err);
	check(lacuna_vm_new(config, &vm, &err), err);
	lacuna_config_free(config);
	check(lacuna_vm_start(vm, &err), err);
	while (!hangs || !sleeps(vm))
		;
	return vm;
}

static void tell(bool good, const char *name)
{
	printf("%s - %s (%d kicks lost)\n", good ? "ok" : "not ok", name, lost);
}

int main(int argc, char **argv)
{
	char kernel[4096];
	enum lacuna_end_reason reason;
	struct lacuna_error *err = NULL;
	if (argc != 2)
		return 2;
	snprintf(kernel, sizeof(kernel), "%s/endings.elf", argv[1]);

	struct lacuna_vm *vm = halted(kernel);
	to_lose = 3;
	check(lacuna_vm_pause(vm, &err), err);
	tell(lost == 3 && lacuna_vm_state(vm) == LACUNA_VM_PAUSED, "paused");
	check(lacuna_vm_resume(vm, &err), err);
	while (!sleeps(vm))
		;
	lost = 0;
	to_lose = 2;
	lacuna_vm_stop(vm);
	check(lacuna_vm_wait(vm, &reason, NULL, &err), err);
	tell(lost == 2 && reason == LACUNA_END_STOPPED, "stopped");
	lacuna_vm_free(vm);

	vm = halted(kernel);
	lost = 0;
	to_lose = 2;
	struct pollfd end = { .fd = lacuna_vm_end_fd(vm), .events = POLLIN };
	lacuna_vm_stop(vm);
	tell(poll(&end, 1, -1) == 1 && lost == 2, "ended, and nobody waits");
	lacuna_vm_free(vm);

	vm = halted(kernel);
	lost = 0;
	to_lose = 2;
	lacuna_vm_free(vm);
	tell(lost == 2, "freed");
	printf("1..4\n");
	return 0;
}
