// SPDX-License-Identifier: Apache-2.0
/*
 * A PCI function of one's own: a DMA engine that copies guest memory, or takes its checksum, on a
 * thread of this program, and says that it is done by an MSI-X interrupt. Shows registers in a BAR
 * with a doorbell, DMA, interrupts, a capability that the guest may write to, and what a reset
 *means for work under way.
 *
 *	cc -o custom-pci custom-pci.c $(pkg-config --cflags --libs lacuna)
 *	custom-pci KERNEL [COMMAND-LINE]
 *
 * boots KERNEL with the engine on the PCI bus, streams its console to standard output and returns
 *the guest's exit code.
 *
 * Registers, in BAR 0, 64 bits each and accessed whole:
 *
 *	0x00 SOURCE   guest address
 *	0x08 TARGET   guest address, of a copy
 *	0x10 LENGTH   bytes
 *	0x18 COMMAND  written: 1 copies, 2 takes a checksum; ignored while busy
 *	0x20 STATUS   0 idle, 1 busy, 2 done, 3 failed
 *	0x28 RESULT   the checksum (FNV-1a, 64 bits); of what failed, why: an errno value
 *
 * The vendor-specific capability (PCIe 5.0, 7.9.4) ends with 4 bytes, LIMIT: no LENGTH may be
 * larger. The guest can make it any number up to LIMIT_MAX.
 */
#include <errno.h>
#include <lacuna/device.h>
#include <lacuna/vm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MAX (1u << 20)
#define PIECE     4096u

enum { SOURCE, TARGET, LENGTH, COMMAND, STATUS, RESULT, REGISTERS };
enum { COPY = 1, CHECKSUM = 2 };
enum { IDLE, BUSY, DONE, FAILED };

/* One for each VM that has the device. */
struct engine {
	struct lacuna_pci_function *f;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work; /* there is some, or the end has come */
	/* below: under the lock */
	uint64_t reg[REGISTERS];
	uint64_t at, sum; /* of what is under way: bytes done, and their checksum */
	bool end;
};

/* --- the capability --- */

static const uint8_t capability_body[] = {
	8,             /* the capability's length, as every vendor-specific one begins */
	1,             /* version */
	0, 0, 0x10, 0, /* LIMIT_MAX, little-endian */
};
static const uint8_t capability_mask[] = { 0, 0, 0xff, 0xff, 0xff, 0xff };
#define CAPABILITY_LIMIT 4u /* from the capability's beginning */

static const struct lacuna_pci_capability capability = {
	.id = 0x09,
	.body = capability_body,
	.writable = capability_mask,
	.size = sizeof(capability_body),
};

static void capability_written(void *state, unsigned offset)
{
	const struct engine *e = state;
	uint32_t limit = lacuna_pci_config_read(e->f, offset + CAPABILITY_LIMIT, 4);
	if (limit > LIMIT_MAX) /* the guest reads back what it got */
		lacuna_pci_config_set(e->f, offset + CAPABILITY_LIMIT, LIMIT_MAX, 4);
}

static uint32_t limit_of(const struct engine *e)
{
	return lacuna_pci_config_read(
		e->f, lacuna_pci_capability_offset(e->f, 0) + CAPABILITY_LIMIT, 4);
}

/* --- the work: a piece at a time, under the lock, so that a reset comes before one or after --- */

static void checksum(struct engine *e, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		e->sum = (e->sum ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static void finish(struct engine *e, uint64_t status, uint64_t result)
{
	e->reg[STATUS] = status;
	e->reg[RESULT] = result;
	lacuna_pci_interrupt(e->f, 0);
}

/* Addresses come from the guest: that they are sound, and that nothing wraps, is for the DMA calls
 * to find out. */
static void carry_on(struct engine *e)
{
	uint8_t piece[PIECE];
	uint64_t left = e->reg[LENGTH] - e->at;
	size_t size = left < PIECE ? (size_t)left : PIECE;
	int rc = lacuna_pci_dma_read(e->f, e->reg[SOURCE] + e->at, piece, size);
	if (rc == 0 && e->reg[COMMAND] == COPY)
		rc = lacuna_pci_dma_write(e->f, e->reg[TARGET] + e->at, piece, size);
	if (rc < 0) {
		finish(e, FAILED, (uint64_t)-rc);
		return;
	}
	checksum(e, piece, size);
	e->at += size;
	if (size == left)
		finish(e, DONE, e->sum);
}

static void *run(void *opaque)
{
	struct engine *e = opaque;
	pthread_mutex_lock(&e->lock);
	while (!e->end) {
		if (e->reg[STATUS] != BUSY) {
			pthread_cond_wait(&e->work, &e->lock);
			continue;
		}
		carry_on(e);
		pthread_mutex_unlock(&e->lock);
		pthread_mutex_lock(&e->lock);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

/* --- registers: the guest's CPU waits meanwhile, so no more is done here than taking notes --- */

static bool is_register(uint64_t offset, unsigned size)
{
	return size == 8 && offset % 8 == 0 && offset / 8 < REGISTERS;
}

static uint64_t bar_read(void *state, unsigned bar, uint64_t offset, unsigned size)
{
	struct engine *e = state;
	(void)bar;
	if (!is_register(offset, size))
		return 0;
	pthread_mutex_lock(&e->lock);
	uint64_t value = e->reg[offset / 8];
	pthread_mutex_unlock(&e->lock);
	return value;
}

static void ring(struct engine *e, uint64_t command)
{
	if (command != COPY && command != CHECKSUM)
		return;
	e->reg[COMMAND] = command;
	e->at = 0;
	e->sum = UINT64_C(0xcbf29ce484222325);
	if (e->reg[LENGTH] > limit_of(e)) {
		finish(e, FAILED, EMSGSIZE);
		return;
	}
	e->reg[STATUS] = BUSY;
	pthread_cond_signal(&e->work);
}

static void bar_write(void *state, unsigned bar, uint64_t offset, uint64_t value, unsigned size)
{
	struct engine *e = state;
	(void)bar;
	if (!is_register(offset, size))
		return;
	pthread_mutex_lock(&e->lock);
	if (e->reg[STATUS] == BUSY)
		; /* frozen */
	else if (offset / 8 == COMMAND)
		ring(e, value);
	else if (offset / 8 < COMMAND)
		e->reg[offset / 8] = value;
	pthread_mutex_unlock(&e->lock);
}

/* --- life --- */

/* When this returns, the thread has nothing more to do; else it might go on as soon as the guest
 * makes the function a bus master again. */
static void reset(void *state)
{
	struct engine *e = state;
	pthread_mutex_lock(&e->lock);
	memset(e->reg, 0, sizeof(e->reg));
	pthread_mutex_unlock(&e->lock);
}

static void dispose(struct engine *e)
{
	pthread_cond_destroy(&e->work);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

static int create(
	void *opaque, struct lacuna_pci_function *f, void **ret_state, struct lacuna_error **err)
{
	(void)opaque;
	struct engine *e = calloc(1, sizeof(*e));
	if (!e)
		return lacuna_error_set(err, ENOMEM, "out of memory");
	e->f = f;
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->work, NULL);
	*ret_state = e;
	int rc = pthread_create(&e->thread, NULL, run, e);
	if (rc) {
		dispose(e);
		return lacuna_error_set(err, rc, "start a thread: %s", strerror(rc));
	}
	return 0;
}

static void destroy(void *state)
{
	struct engine *e = state;
	pthread_mutex_lock(&e->lock);
	e->end = true;
	pthread_cond_signal(&e->work);
	pthread_mutex_unlock(&e->lock);
	pthread_join(e->thread, NULL);
	dispose(e);
}

static const struct lacuna_pci_ops ops = {
	.size = sizeof(ops),
	.create = create,
	.destroy = destroy,
	.bar_read = bar_read,
	.bar_write = bar_write,
	.capability_written = capability_written,
	.reset = reset,
};

static const struct lacuna_pci_device device = {
	.size = sizeof(device),
	.name = "dma",
	.vendor_id = 0x1234, /* take one that you own */
	.device_id = 0xd3a0,
	.class_code = 0x088000, /* base system peripheral, other */
	.bar = { { .size = 4096 } },
	.msix_vectors = 1,
	.msix_bar = 1,
	.capability = &capability,
	.capability_count = 1,
	.bus = LACUNA_BUS_ANY,
	.ops = &ops,
};

/* --- the VM --- */

static void print(void *opaque, const void *data, size_t size)
{
	fwrite(data, 1, size, opaque);
	fflush(opaque);
}

static int configure(struct lacuna_config *config, char **argv, struct lacuna_error **err)
{
	int rc = lacuna_config_set(config, "kernel", argv[1], err);
	if (rc == 0 && argv[2])
		rc = lacuna_config_set(config, "cmdline", argv[2], err);
	if (rc == 0)
		rc = lacuna_config_set_serial_output(config, print, stdout, err);
	return rc < 0 ? rc : lacuna_config_add_pci_device(config, &device, err);
}

int main(int argc, char **argv)
{
	struct lacuna_config *config = NULL;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	enum lacuna_end_reason reason = LACUNA_END_NONE;
	int code = 0, status = 125;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: custom-pci KERNEL [COMMAND-LINE]\n");
		return status;
	}
	if (lacuna_config_new(&config, &err) == 0 && configure(config, argv, &err) == 0 &&
		lacuna_vm_new(config, &vm, &err) == 0 && lacuna_vm_start(vm, &err) == 0 &&
		lacuna_vm_wait(vm, &reason, &code, &err) == 0) {
		if (reason == LACUNA_END_EXIT_CODE || reason == LACUNA_END_POWEROFF)
			status = code;
		else
			fprintf(stderr, "custom-pci: the VM ended by %s %s\n",
				lacuna_end_reason_name(reason), lacuna_vm_end_message(vm));
	} else {
		fprintf(stderr, "custom-pci: %s\n", lacuna_error_message(err));
	}
	lacuna_error_free(err);
	lacuna_vm_free(vm);
	lacuna_config_free(config);
	return status;
}
