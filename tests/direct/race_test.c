// SPDX-License-Identifier: Apache-2.0
/* Every call on a VM at the same time, each from a thread that owns the VM together with the
 * others; whoever is last frees it. What the calls return depends on who comes first: it must be
 * one of the values that are documented. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

TestSuite(race, .timeout = TEST_TIMEOUT);

#define ROUNDS  40
#define LOOKS   20 /* how often a part that only looks or changes a little does so */
#define ADDRESS 0x100000

static void expect_one_of(const char *call, int rc, const int *allowed, size_t count)
{
	bool good = false;
	for (size_t i = 0; i < count; i++)
		good |= rc == allowed[i];
	cr_expect(good, "%s returned %d", call, rc);
}

#define EXPECT(call, ...)                                           \
	expect_one_of(#call, call, (const int[]){ 0, __VA_ARGS__ }, \
		1 + sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))

static _Atomic unsigned starts; /* that have succeeded in this round */

static void play_start(struct lacuna_vm *vm)
{
	int rc = lacuna_vm_start(vm, NULL);
	EXPECT(rc, -ECANCELED, -EALREADY);
	starts += rc == 0;
}

static void play_stop(struct lacuna_vm *vm)
{
	lacuna_vm_stop(vm);
	cr_expect_eq(lacuna_vm_state(vm), LACUNA_VM_ENDED);
}

static void play_pause(struct lacuna_vm *vm)
{
	EXPECT(lacuna_vm_pause(vm, NULL), -ESRCH, -ECANCELED);
	EXPECT(lacuna_vm_pause(vm, NULL), -ESRCH, -ECANCELED);
}

static void play_resume(struct lacuna_vm *vm)
{
	EXPECT(lacuna_vm_resume(vm, NULL), -ESRCH);
	EXPECT(lacuna_vm_set_deadline(vm, 1000, NULL), -ESRCH);
	EXPECT(lacuna_vm_resume(vm, NULL), -ESRCH);
}

static void play_statistics(struct lacuna_vm *vm)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		struct lacuna_stats stats = { .size = sizeof(stats) };
		lacuna_vm_stats(vm, &stats);
		cr_expect_eq(stats.vcpus, 2);
	}
	EXPECT(lacuna_vm_power_button(vm, NULL), -ESRCH);
}

static void play_wait(struct lacuna_vm *vm)
{
	enum lacuna_end_reason reason;
	while (lacuna_vm_wait(vm, &reason, NULL, NULL) == -EINVAL)
		;
	cr_expect(reason == LACUNA_END_STOPPED || reason == LACUNA_END_TIMEOUT);
	cr_expect_str_eq(lacuna_vm_end_message(vm), "");
}

static void play_set(struct lacuna_vm *vm)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		EXPECT(lacuna_vm_device_set(vm, "balloon0", i % 2 ? "size=1M" : "size=2M", NULL),
			-ESRCH);
		EXPECT(lacuna_vm_device_set(vm, "console0", "size=80x25", NULL), -ESRCH);
		EXPECT(lacuna_vm_device_set(vm, "disk0", "size=1M", NULL), -ESRCH);
	}
}

static void on_property(void *opaque, const char *device, const char *key, const char *value)
{
	*(size_t *)opaque += strlen(device) + strlen(key) + strlen(value);
}

static void play_get(struct lacuna_vm *vm)
{
	size_t sum = 0;
	for (unsigned i = 0; i < LOOKS; i++)
		EXPECT(lacuna_vm_device_get(vm, NULL, on_property, &sum, NULL), -ESRCH);
}

static void play_input(struct lacuna_vm *vm)
{
	static const char text[600] = "input";
	size_t taken;
	for (unsigned i = 0; i < LOOKS; i++) {
		EXPECT(lacuna_vm_input(vm, "stream", text, sizeof(text), &taken, NULL), -ESRCH);
		cr_expect_leq(taken, sizeof(text));
	}
}

static void play_memory(struct lacuna_vm *vm)
{
	uint8_t page[4096];
	for (unsigned i = 0; i < LOOKS; i++) {
		cr_expect_eq(lacuna_vm_read_memory(vm, ADDRESS, page, sizeof(page), NULL), 0);
		/* where nothing of the guest is */
		cr_expect_eq(lacuna_vm_write_memory(vm, 32 << 20, page, sizeof(page), NULL), 0);
	}
}

static int on_file(void *opaque, const char *name, const void *data, size_t size)
{
	*(size_t *)opaque += size;
	return 0;
}

static void on_counter(void *opaque, const char *name, uint64_t value)
{
	*(size_t *)opaque += strlen(name);
}

static void play_dump(struct lacuna_vm *vm)
{
	static const char *const what[] = { "pci", "acpi", "e820", "cmdline", "fdt" };
	for (unsigned i = 0; i < LOOKS; i++) {
		size_t sum = 0;
		cr_expect_eq(lacuna_vm_dump(vm, what[i % 5], on_file, &sum, NULL), 0);
		cr_expect_gt(sum, 0);
		EXPECT(lacuna_vm_kvm_stats(vm, on_counter, &sum, NULL), -ENOTSUP);
	}
}

static void (*const parts[])(struct lacuna_vm *vm) = {
	play_start,
	play_start,
	play_stop,
	play_pause,
	play_resume,
	play_statistics,
	play_wait,
	play_set,
	play_get,
	play_input,
	play_memory,
	play_dump,
};

#define PARTS (sizeof(parts) / sizeof(parts[0]))

struct player {
	struct lacuna_vm *vm;
	pthread_barrier_t *line;
	void (*play)(struct lacuna_vm *vm);
};

static void *take_part(void *opaque)
{
	const struct player *p = opaque;
	pthread_barrier_wait(p->line);
	p->play(p->vm);
	lacuna_vm_free(p->vm);
	return NULL;
}

/* @started: before the race; else two of the parts start it. */
static void play(const struct guest *g, bool started)
{
	int in = open("/dev/null", O_RDWR | O_CLOEXEC), out = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct lacuna_vm *vm = guest_new(g, in, out);
	pthread_t thread[PARTS];
	struct player player[PARTS];
	pthread_barrier_t line;
	unsigned first = started ? 2 : 0;
	starts = 0;
	cr_assert(in >= 0 && out >= 0);
	pthread_barrier_init(&line, NULL, PARTS - first);
	if (started)
		cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	for (unsigned i = first; i < PARTS; i++) {
		player[i] = (struct player){ lacuna_vm_ref(vm), &line, parts[i] };
		cr_assert_eq(pthread_create(&thread[i], NULL, take_part, &player[i]), 0);
	}
	lacuna_vm_free(vm);
	for (unsigned i = first; i < PARTS; i++)
		pthread_join(thread[i], NULL);
	cr_expect_leq(starts, 1);
	pthread_barrier_destroy(&line);
	close(in);
	close(out);
}

static const struct guest racing = {
	.image = "endings",
	.cmdline = "test=hang",
	.cpus = 2,
	.memory = "64M",
	.balloon = "size=1M",
	.rng = 1,
	.vsock = true,
	.console = true,
	.stream = true,
};

Test(race, with_the_start)
{
	need_kvm();
	struct guest g = racing;
	g.disk = scratch_disk(1 << 20);
	for (unsigned round = 0; round < ROUNDS; round++)
		play(&g, false);
}

Test(race, with_a_running_one)
{
	need_kvm();
	struct guest g = racing;
	g.disk = scratch_disk(1 << 20);
	for (unsigned round = 0; round < ROUNDS; round++)
		play(&g, true);
}

/* --- a guest that keeps its disk busy, and resets it meanwhile --- */

static struct guest busy(void)
{
	return (struct guest){ .image = "virtio",
		.cmdline = "test=race",
		.cpus = 2,
		.disk = scratch_disk(1 << 20),
		.output = "race: works" };
}

/* Its time is over after so many microseconds, early and late; what is under way is completed. */
Test(race, end_under_load)
{
	need_kvm();
	struct guest g = busy();
	int in = open("/dev/null", O_RDWR | O_CLOEXEC), out = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (unsigned round = 1; round <= ROUNDS; round++) {
		enum lacuna_end_reason reason;
		int code;
		struct lacuna_vm *vm = guest_new(&g, in, out);
		cr_assert_eq(lacuna_vm_set_deadline(vm, (uint64_t)round * round * 5, NULL), 0);
		cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
		if (round % 2) {
			cr_assert_eq(lacuna_vm_wait(vm, &reason, &code, NULL), 0);
			cr_expect(reason == LACUNA_END_TIMEOUT ||
					  (reason == LACUNA_END_EXIT_CODE && code == 0),
				"%s", lacuna_end_reason_name(reason));
		}
		lacuna_vm_free(vm);
	}
	close(in);
	close(out);
}

/* Each time after so much longer that a guest gets on whose vCPUs are slow to run again, as under
 * ThreadSanitizer: the one after the Nth pause runs for N microseconds. */
static void *pause_again_and_again(void *opaque)
{
	struct lacuna_vm *vm = opaque;
	uint64_t *pauses = calloc(1, sizeof(*pauses));
	while (lacuna_vm_pause(vm, NULL) == 0) {
		++*pauses;
		cr_assert_eq(lacuna_vm_state(vm), LACUNA_VM_PAUSED);
		cr_assert_eq(lacuna_vm_resume(vm, NULL), 0);
		struct timespec run = {
			.tv_sec = (time_t)(*pauses / 1000000),
			.tv_nsec = (long)(*pauses % 1000000 * 1000),
		};
		nanosleep(&run, NULL);
	}
	lacuna_vm_free(vm);
	return pauses;
}

/* It notices nothing. */
Test(race, pause_under_load)
{
	need_kvm();
	struct guest g = busy();
	enum lacuna_end_reason reason;
	void *pauses;
	char text[4096] = "";
	pthread_t thread;
	int code, in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out = memfd_create("console", MFD_CLOEXEC);
	struct lacuna_vm *vm = guest_new(&g, in, out);
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	cr_assert_eq(pthread_create(&thread, NULL, pause_again_and_again, lacuna_vm_ref(vm)), 0);
	cr_assert_eq(lacuna_vm_wait(vm, &reason, &code, NULL), 0);
	cr_assert_eq(pthread_join(thread, &pauses), 0);
	cr_assert(pread(out, text, sizeof(text) - 1, 0) > 0);
	cr_expect(reason == LACUNA_END_EXIT_CODE && code == 0 && strstr(text, g.output),
		"it ended by %s, code %d: %s", lacuna_end_reason_name(reason), code, text);
	cr_expect_gt(*(uint64_t *)pauses, 0u);
	free(pauses);
	lacuna_vm_free(vm);
	close(in);
	close(out);
}
