// SPDX-License-Identifier: Apache-2.0
/* Devices of the embedder's own in whole machines: many of them on many buses, several machines of
 * one configuration, creation that fails, resets with work under way, guests that do it all wrong.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <lacuna/device.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

TestSuite(devices, .timeout = TEST_TIMEOUT);

/* --- a PCI function, for tests/guest/devices.c --- */

enum { INSTANCE, COUNTER, ADDRESS, DOORBELL, RESULT, REGISTERS };

/* What all instances of a test share. */
struct shop {
	_Atomic unsigned created, destroyed, wrong;
	unsigned fail_at; /* creation number that fails; 0: none does */
};

struct card {
	struct shop *shop;
	struct lacuna_pci_function *f;
	_Atomic uint64_t reg[REGISTERS];
};

static const uint64_t bar_size[6] = { [0] = 4096, [2] = 1 << 20 };

static int card_create(
	void *opaque, struct lacuna_pci_function *f, void **ret_state, struct lacuna_error **err)
{
	struct shop *shop = opaque;
	unsigned number = shop->created + 1;
	if (number == shop->fail_at)
		return lacuna_error_set(err, EMFILE, "card %u is not for sale", number);
	struct card *c = calloc(1, sizeof(*c));
	cr_assert(c);
	c->shop = shop;
	c->f = f;
	c->reg[INSTANCE] = shop->created++;
	*ret_state = c;
	return 0;
}

static void card_destroy(void *state)
{
	struct card *c = state;
	c->shop->destroyed++;
	free(c);
}

/* Whether what the library lets through is as it promises. */
static bool inside(struct card *c, unsigned bar, uint64_t offset, unsigned size)
{
	bool good = (size == 1 || size == 2 || size == 4 || size == 8) && bar < 6 &&
		    size <= bar_size[bar] && offset <= bar_size[bar] - size;
	c->shop->wrong += !good;
	return bar == 0 && size == 8 && offset % 8 == 0 && offset / 8 < REGISTERS;
}

static uint64_t card_read(void *state, unsigned bar, uint64_t offset, unsigned size)
{
	struct card *c = state;
	return inside(c, bar, offset, size) ? c->reg[offset / 8] : 0x5a;
}

static void card_write(void *state, unsigned bar, uint64_t offset, uint64_t value, unsigned size)
{
	struct card *c = state;
	if (!inside(c, bar, offset, size) || offset / 8 == INSTANCE)
		return;
	c->reg[offset / 8] = value;
	if (offset / 8 != DOORBELL)
		return;
	c->reg[RESULT] = (uint64_t)-lacuna_pci_dma_write(c->f, c->reg[ADDRESS], &value, 8);
	lacuna_pci_interrupt(c->f, 0);
}

static void card_cap_written(void *state, unsigned offset)
{
	struct card *c = state;
	c->shop->wrong += offset != lacuna_pci_capability_offset(c->f, 0);
}

static void card_reset(void *state)
{
	struct card *c = state;
	for (unsigned i = COUNTER; i < REGISTERS; i++)
		c->reg[i] = 0;
}

static const struct lacuna_pci_ops card_ops = {
	.size = sizeof(card_ops),
	.create = card_create,
	.destroy = card_destroy,
	.bar_read = card_read,
	.bar_write = card_write,
	.capability_written = card_cap_written,
	.reset = card_reset,
};

static const uint8_t cap_body[] = { 12, 0, 0x75, 0x43, 0x61, 0x4c, 0, 0, 0, 0 };
static const uint8_t cap_mask[] = { [6] = 0xff, 0xff, 0xff, 0xff };
static const struct lacuna_pci_capability cap = {
	.id = 9, .body = cap_body, .writable = cap_mask, .size = sizeof(cap_body)
};

static int add_card_named(struct lacuna_config *config, const char *name, int bus,
	struct shop *shop, struct lacuna_error **err)
{
	const struct lacuna_pci_device d = {
		.size = sizeof(d),
		.name = name,
		.vendor_id = 0x1234,
		.device_id = 0xcafe,
		.class_code = 0xff0000,
		.bar = { { .size = bar_size[0] }, { 0 }, { .size = bar_size[2], .is_64 = true } },
		.msix_vectors = 2,
		.msix_bar = 4,
		.capability = &cap,
		.capability_count = 1,
		.bus = bus,
		.ops = &card_ops,
		.opaque = shop,
	};
	return lacuna_config_add_pci_device(config, &d, err);
}

static void add_card(struct lacuna_config *config, int bus, struct shop *shop)
{
	struct lacuna_error *err = NULL;
	if (add_card_named(config, "card", bus, shop, &err) < 0)
		cr_assert_fail("%s", lacuna_error_message(err));
}

/* --- many, on many buses --- */

static struct shop shop;

static void fifty_cards(struct lacuna_config *config)
{
	for (int i = 0; i < 50; i++)
		add_card(config, i < 10 ? 0 : 1 + i % 7, &shop);
}

/* Configuration space was read in full and cost no exit; what cost one is the BARs, one read each,
 * and nothing else was written. */
static void config_reads_are_free(const struct outcome *o)
{
	const struct lacuna_stats *s = &o->stats;
	cr_expect_str_eq(s->pci_window, "memory");
	cr_expect_eq(s->ecam_read + s->ecam_write + s->absent + s->type1_read + s->type1_write, 0);
	cr_expect_eq(s->mmio_bar, outcome_number(o, "reads "));
	cr_expect_eq(s->exits_by_reason[KVM_EXIT_MMIO], s->mmio_bar);
	cr_expect_eq(s->pci_functions, 1 + 7 + 50);
	cr_expect_eq(s->pci_buses, 8);
}

Test(devices, fifty_on_eight_buses)
{
	guest_check(&(struct guest){ .image = "devices",
		.cmdline = "test=scan",
		.configure = fifty_cards,
		.output = "scan: found 50 reads 50 ",
		.check = config_reads_are_free });
	cr_expect_eq(shop.created, 50);
	cr_expect_eq(shop.destroyed, 50);
	cr_expect_eq(shop.wrong, 0);
}

static void reads_trap(const struct outcome *o)
{
	cr_expect_gt(o->stats.ecam_read, UINT64_C(50) * 1024);
	cr_expect_eq(o->stats.ecam_write, 0);
}

/* The same where the window can't be memory: what the guest finds does not change. */
Test(devices, fifty_that_trap)
{
	guest_check(&(struct guest){ .image = "devices",
		.cmdline = "test=scan",
		.pci = "window=trap",
		.configure = fifty_cards,
		.output = "scan: found 50 reads 50 ",
		.check = reads_trap });
}

static void anywhere(struct lacuna_config *config)
{
	for (int i = 0; i < 40; i++)
		add_card(config, LACUNA_BUS_ANY, &shop);
}

Test(devices, forty_anywhere)
{
	guest_check(&(struct guest){ .image = "devices",
		.cmdline = "test=scan",
		.configure = anywhere,
		.output = "scan: found 40 " });
}

static void one_card(struct lacuna_config *config)
{
	add_card(config, LACUNA_BUS_ANY, &shop);
}

static void one_behind_a_port(struct lacuna_config *config)
{
	add_card(config, 2, &shop);
}

/* --- guests that do it wrong --- */

#define HAMMER(name, seed, how)                                                             \
	Test(devices, name)                                                                 \
	{                                                                                   \
		guest_check(&(struct guest){ .image = "devices",                            \
			.cmdline = "test=hammer count=3000 seed=" seed,                     \
			.pci = how,                                                         \
			.configure = one_card,                                              \
			.output = "hammer: works" });                                       \
		cr_expect_eq(shop.wrong, 0, "callbacks got %u accesses that they must not", \
			shop.wrong);                                                        \
	}

HAMMER(hammer_1, "1", NULL)
HAMMER(hammer_2, "2", NULL)
HAMMER(hammer_type1, "3", "config=type1")

Test(devices, dma_and_mastering)
{
	guest_check(&(struct guest){ .image = "devices",
		.cmdline = "test=dma",
		.configure = one_behind_a_port,
		.output = "dma: works" });
}

/* --- several VMs --- */

static int nowhere(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	cr_assert(fd >= 0);
	return fd;
}

Test(devices, two_machines_of_one_configuration)
{
	need_kvm();
	static const struct guest g = {
		.image = "devices", .cmdline = "test=instance count=2000", .configure = one_card
	};
	struct lacuna_config *config = guest_config(&g, nowhere(), nowhere());
	struct lacuna_vm *vm[2];
	for (int i = 0; i < 2; i++)
		cr_assert_eq(lacuna_vm_new(config, &vm[i], NULL), 0);
	lacuna_config_free(config);
	cr_expect_eq(shop.created, 2);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(lacuna_vm_start(vm[i], NULL), 0);
	for (int i = 0; i < 2; i++) {
		enum lacuna_end_reason reason;
		int code;
		cr_assert_eq(lacuna_vm_wait(vm[i], &reason, &code, NULL), 0);
		cr_expect_eq(reason, LACUNA_END_EXIT_CODE);
		cr_expect_eq(code, i, "each has its own instance, and the count is not shared");
		lacuna_vm_free(vm[i]);
		cr_expect_eq(shop.destroyed, (unsigned)i + 1);
	}
}

/* --- creation that fails --- */

Test(devices, create_fails)
{
	need_kvm();
	struct lacuna_config *config;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	cr_assert_eq(lacuna_config_new(&config, NULL), 0);
	for (int i = 0; i < 5; i++)
		add_card(config, LACUNA_BUS_ANY, &shop);
	shop.fail_at = 4;
	cr_expect_eq(lacuna_vm_new(config, &vm, &err), -EMFILE);
	cr_expect_null(vm);
	cr_expect_str_eq(lacuna_error_message(err), "card3: card 4 is not for sale");
	cr_expect_eq(lacuna_error_code(err), EMFILE);
	cr_expect_eq(shop.created, 3);
	cr_expect_eq(shop.destroyed, 3, "those before it");
	lacuna_error_free(err);
	shop.fail_at = 0;
	cr_assert_eq(lacuna_vm_new(config, &vm, NULL), 0);
	lacuna_vm_free(vm);
	cr_expect_eq(shop.created, 8);
	cr_expect_eq(shop.destroyed, 8);
	lacuna_config_free(config);
}

/* What fails after them: a kernel that is not there. */
Test(devices, destroyed_when_the_machine_fails_later)
{
	need_kvm();
	struct lacuna_config *config;
	struct lacuna_vm *vm = NULL;
	cr_assert_eq(lacuna_config_new(&config, NULL), 0);
	add_card(config, LACUNA_BUS_ANY, &shop);
	cr_assert_eq(lacuna_config_set(config, "kernel", "/nowhere/vmlinux", NULL), 0);
	cr_expect_eq(lacuna_vm_new(config, &vm, NULL), -ENOENT);
	cr_expect_eq(shop.created, 1);
	cr_expect_eq(shop.destroyed, 1);
	lacuna_config_free(config);
}

Test(devices, buses_that_are_full_or_not_there)
{
	need_kvm();
	struct lacuna_config *config;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	cr_assert_eq(lacuna_config_new(&config, NULL), 0);
	for (int i = 0; i < 9; i++)
		add_card(config, 3, &shop);
	cr_expect_eq(lacuna_vm_new(config, &vm, &err), -ENOSPC);
	cr_expect(strstr(lacuna_error_message(err), "bus=3: 9 devices are too many"), "%s",
		lacuna_error_message(err));
	cr_expect_eq(shop.created, 0, "nothing was made before it was known");
	lacuna_error_free(err);
	lacuna_config_free(config);
}

static void ignore(void *opaque, const char *device, const char *key, const char *value)
{
}

/* Each name counts for itself, whatever kind and order; and the library's own count on. */
Test(devices, names)
{
	need_kvm();
	static const struct guest g = { .image = "endings", .cmdline = "test=hang", .rng = 1 };
	struct lacuna_config *config = guest_config(&g, nowhere(), nowhere());
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	cr_assert_eq(add_card_named(config, "one", LACUNA_BUS_ANY, &shop, NULL), 0);
	cr_assert_eq(add_card_named(config, "two", LACUNA_BUS_ANY, &shop, NULL), 0);
	cr_assert_eq(add_card_named(config, "one", LACUNA_BUS_ANY, &shop, NULL), 0);
	cr_assert_eq(lacuna_vm_new(config, &vm, NULL), 0);
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	static const char *const there[] = { "one0", "one1", "two0", "rng0" };
	for (unsigned i = 0; i < 4; i++)
		cr_expect_eq(lacuna_vm_device_get(vm, there[i], ignore, NULL, &err), 0, "%s: %s",
			there[i], lacuna_error_message(err));
	cr_expect_eq(lacuna_vm_device_get(vm, "two1", ignore, NULL, NULL), -ENODEV);
	cr_expect_eq(lacuna_vm_device_set(vm, "one0", "size=1", &err), -EINVAL);
	cr_expect_str_eq(lacuna_error_message(err), "one0: nothing of it can be changed");
	lacuna_error_free(err);
	lacuna_vm_free(vm);
	lacuna_config_free(config);
}

/* --- a virtio device --- */

#define ROOM 64
#define MOST 64

enum habit {
	HOLDS,    /* keeps chains until it is deactivated; another thread returns them then */
	RACES,    /* two threads take and return chains all the time */
	SWALLOWS, /* never returns one */
};

struct holder {
	enum habit habit;
	struct lacuna_virtio *v;
	pthread_t thread[2];
	unsigned threads;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* below: under the lock */
	struct lacuna_virtio_chain *held[MOST];
	unsigned count;
	bool release, end;
};

static _Atomic unsigned activated, deactivated, holders;

static void tell_count(struct holder *h)
{
	const uint8_t count[4] = { (uint8_t)h->count };
	lacuna_virtio_config_set(h->v, 0, count, sizeof(count));
}

static void fill_and_push(struct lacuna_virtio *v, struct lacuna_virtio_chain *chain)
{
	static const uint8_t bytes[ROOM];
	lacuna_virtio_chain_write(chain, 0, bytes, ROOM);
	lacuna_virtio_push(v, chain, ROOM);
}

static void *release_when_asked(void *opaque)
{
	struct holder *h = opaque;
	pthread_mutex_lock(&h->lock);
	while (!h->end) {
		if (!h->release) {
			pthread_cond_wait(&h->changed, &h->lock);
			continue;
		}
		h->release = false;
		/* The last goes back when the driver can see that all have gone. */
		unsigned count = h->count;
		h->count = 0;
		tell_count(h);
		while (count)
			fill_and_push(h->v, h->held[--count]);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

static void *take_and_return(void *opaque)
{
	struct holder *h = opaque;
	bool end = false;
	while (!end) {
		struct lacuna_virtio_chain *c[4] = { NULL };
		for (unsigned i = 0; i < 4; i++)
			c[i] = lacuna_virtio_pop(h->v, 0);
		for (unsigned i = 0; i < 4; i++)
			if (c[i])
				fill_and_push(h->v, c[i]);
		pthread_mutex_lock(&h->lock);
		end = h->end;
		pthread_mutex_unlock(&h->lock);
	}
	return NULL;
}

static int holder_create(
	void *opaque, struct lacuna_virtio *v, void **ret_state, struct lacuna_error **err)
{
	struct holder *h = calloc(1, sizeof(*h));
	cr_assert(h);
	h->habit = *(const enum habit *)opaque;
	h->v = v;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->changed, NULL);
	h->threads = h->habit == RACES ? 2 : 1;
	for (unsigned i = 0; i < h->threads; i++)
		cr_assert_eq(pthread_create(&h->thread[i], NULL,
				     h->habit == RACES ? take_and_return : release_when_asked, h),
			0);
	*ret_state = h;
	holders++;
	return 0;
}

static void holder_destroy(void *state)
{
	struct holder *h = state;
	pthread_mutex_lock(&h->lock);
	h->end = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	for (unsigned i = 0; i < h->threads; i++)
		pthread_join(h->thread[i], NULL);
	free(h);
	holders--;
}

static void holder_activate(void *state, uint64_t features)
{
	activated++;
}

static void holder_kicked(void *state, unsigned queue)
{
	struct holder *h = state;
	struct lacuna_virtio_chain *chain;
	pthread_mutex_lock(&h->lock);
	while (h->habit != RACES && h->count < MOST && (chain = lacuna_virtio_pop(h->v, queue))) {
		h->held[h->count++] = chain;
		tell_count(h);
	}
	pthread_mutex_unlock(&h->lock);
}

static void holder_deactivate(void *state)
{
	struct holder *h = state;
	deactivated++;
	pthread_mutex_lock(&h->lock);
	h->release = h->habit == HOLDS;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

static const struct lacuna_virtio_ops holder_ops = {
	.size = sizeof(holder_ops),
	.create = holder_create,
	.destroy = holder_destroy,
	.activate = holder_activate,
	.kicked = holder_kicked,
	.deactivate = holder_deactivate,
};

static enum habit habit;

static void add_holder(struct lacuna_config *config)
{
	const struct lacuna_virtio_device d = {
		.size = sizeof(d),
		.name = "holder",
		.device_id = 62,
		.queues = 1,
		.queue_size = 64,
		.config_size = 4,
		.bus = LACUNA_BUS_ANY,
		.ops = &holder_ops,
		.opaque = &habit,
	};
	struct lacuna_error *err = NULL;
	if (lacuna_config_add_virtio_device(config, &d, &err) < 0)
		cr_assert_fail("%s", lacuna_error_message(err));
}

static void run_holder(enum habit h, const char *cmdline, const char *output)
{
	habit = h;
	guest_check(&(struct guest){ .image = "devices",
		.cmdline = cmdline,
		.configure = add_holder,
		.output = output });
	cr_expect_eq(activated, deactivated);
	cr_expect_eq(holders, 0);
}

Test(devices, resets_while_chains_are_out)
{
	run_holder(HOLDS, "test=held rounds=50", "held: 50 resets");
	cr_expect_eq(activated, 50);
}

Test(devices, pushes_race_with_resets)
{
	run_holder(RACES, "test=race rounds=300", "race: works");
}

/* The guest waits for its reset for ever; nobody else does. */
Test(devices, chains_that_never_come_back)
{
	need_kvm();
	static const struct guest g = {
		.image = "devices", .cmdline = "test=stuck", .configure = add_holder
	};
	char seen[64] = "";
	size_t n = 0;
	int fd[2], in = nowhere();
	habit = SWALLOWS;
	cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
	struct lacuna_vm *vm = guest_new(&g, in, fd[1]);
	close(in);
	close(fd[1]);
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	while (!strstr(seen, "submitted")) {
		ssize_t got = read(fd[0], seen + n, sizeof(seen) - 1 - n);
		cr_assert_gt(got, 0, "it ended before it said so: %s", seen);
		n += (size_t)got;
	}
	while (!deactivated)
		sched_yield();
	enum lacuna_end_reason reason;
	lacuna_vm_stop(vm);
	cr_assert_eq(lacuna_vm_wait(vm, &reason, NULL, NULL), 0);
	cr_expect_eq(reason, LACUNA_END_STOPPED);
	cr_expect_eq(holders, 1);
	lacuna_vm_free(vm);
	cr_expect_eq(holders, 0);
	cr_expect_eq(deactivated, 1);
	close(fd[0]);
#ifdef __SANITIZE_ADDRESS__
	cr_expect_eq(__lsan_do_recoverable_leak_check(), 0, "the chain is freed with the VM");
#endif
}

/* Stopped in the middle of it all. */
Test(devices, stop_while_chains_are_out)
{
	need_kvm();
	static const struct guest g = {
		.image = "devices", .cmdline = "test=race rounds=1000000", .configure = add_holder
	};
	habit = RACES;
	for (unsigned i = 0; i < 10; i++) {
		unsigned before = activated;
		struct lacuna_vm *vm = guest_new(&g, nowhere(), nowhere());
		cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
		while (activated < before + 3)
			sched_yield();
		if (i % 2)
			lacuna_vm_stop(vm);
		lacuna_vm_free(vm);
		cr_expect_eq(activated, deactivated);
		cr_expect_eq(holders, 0);
	}
}
