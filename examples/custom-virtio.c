// SPDX-License-Identifier: Apache-2.0
/*
 * A virtio device of one's own: the driver sends text and gets it back in capitals (or in another
 * way), worked out on a thread of this program. Shows queues, chains that are put back from another
 * thread, a configuration that either side may change, and what a reset means for work under way.
 *
 *	cc -o custom-virtio custom-virtio.c $(pkg-config --cflags --libs lacuna)
 *	custom-virtio KERNEL [COMMAND-LINE]
 *
 * boots KERNEL with the device on the PCI bus, streams its console to standard output and returns
 *the guest's exit code.
 *
 * Device type 63, one queue. A chain has the text, and room for the answer, which is as long; of a
 * text that is longer than the room, or than LENGTH_MAX, the device gives back nothing: 0 bytes
 * written. Feature 0 (LOWER) allows mode 1. Configuration:
 *
 *	0  le32 length_max  the longest text
 *	4  le32 mode        written by the driver: 0 capitals, 1 small letters
 *	8  le32 served      how many texts were answered; changes whenever the queue runs empty
 */
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <lacuna/device.h>
#include <lacuna/vm.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_MAX 4096u
#define F_LOWER    (UINT64_C(1) << 0)

enum { CAPITALS, SMALL };

struct layout {
	uint32_t length_max, mode, served; /* little-endian, as all that is virtio's */
};

/* One for each VM that has the device. */
struct speller {
	struct lacuna_virtio *v;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* below: under the lock */
	bool kicked, end;
	uint32_t mode, modes; /* the one in use; how many there are */
	uint32_t served;
};

/* --- the work --- */

static void answer(struct speller *s, struct lacuna_virtio_chain *chain, uint32_t mode)
{
	uint8_t text[LENGTH_MAX];
	uint32_t size = lacuna_virtio_chain_readable(chain);
	/* The driver may write to its text meanwhile, or give a bad place for it: what counts is
	 * the copy, and whether there is one. */
	if (size > sizeof(text) || size > lacuna_virtio_chain_writable(chain) ||
		lacuna_virtio_chain_read(chain, 0, text, size) < 0)
		size = 0;
	for (uint32_t i = 0; i < size; i++)
		text[i] = (uint8_t)(mode == SMALL ? tolower(text[i]) : toupper(text[i]));
	if (lacuna_virtio_chain_write(chain, 0, text, size) < 0)
		size = 0;
	lacuna_virtio_push(s->v, chain, size);
}

/* Takes chains itself, so that never more than one is out. When it has found none, the next kick
 * will wake it. */
static void *run(void *opaque)
{
	struct speller *s = opaque;
	pthread_mutex_lock(&s->lock);
	while (!s->end) {
		if (!s->kicked) {
			pthread_cond_wait(&s->changed, &s->lock);
			continue;
		}
		uint32_t mode = s->mode, served = 0;
		s->kicked = false;
		pthread_mutex_unlock(&s->lock);
		struct lacuna_virtio_chain *chain;
		while ((chain = lacuna_virtio_pop(s->v, 0))) {
			answer(s, chain, mode);
			served++;
		}
		pthread_mutex_lock(&s->lock);
		if (!served)
			continue;
		s->served += served;
		uint32_t value = htole32(s->served);
		lacuna_virtio_config_set(
			s->v, offsetof(struct layout, served), &value, sizeof(value));
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* --- what the library tells, on the device's thread --- */

static void choose_mode(struct speller *s)
{
	uint32_t mode;
	lacuna_virtio_config_read(s->v, offsetof(struct layout, mode), &mode, sizeof(mode));
	mode = le32toh(mode);
	s->mode = mode < s->modes ? mode : CAPITALS;
}

static void activate(void *state, uint64_t features)
{
	struct speller *s = state;
	pthread_mutex_lock(&s->lock);
	s->modes = features & F_LOWER ? 2 : 1;
	choose_mode(s);
	pthread_mutex_unlock(&s->lock);
}

static void config_written(void *state, unsigned offset, unsigned size)
{
	struct speller *s = state;
	(void)offset, (void)size; /* there is but one field to write to */
	pthread_mutex_lock(&s->lock);
	choose_mode(s);
	pthread_mutex_unlock(&s->lock);
}

static void kicked(void *state, unsigned queue)
{
	struct speller *s = state;
	(void)queue;
	pthread_mutex_lock(&s->lock);
	s->kicked = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* Nothing to do for deactivate(): the chain that the thread has comes back by itself, and it finds
 * no other. */

/* --- life --- */

static void dispose(struct speller *s)
{
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int create(
	void *opaque, struct lacuna_virtio *v, void **ret_state, struct lacuna_error **err)
{
	(void)opaque;
	struct speller *s = calloc(1, sizeof(*s));
	if (!s)
		return lacuna_error_set(err, ENOMEM, "out of memory");
	s->v = v;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	*ret_state = s;
	int rc = pthread_create(&s->thread, NULL, run, s);
	if (rc) {
		dispose(s);
		return lacuna_error_set(err, rc, "start a thread: %s", strerror(rc));
	}
	return 0;
}

static void destroy(void *state)
{
	struct speller *s = state;
	pthread_mutex_lock(&s->lock);
	s->end = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	dispose(s);
}

static const struct lacuna_virtio_ops ops = {
	.size = sizeof(ops),
	.create = create,
	.destroy = destroy,
	.activate = activate,
	.kicked = kicked,
	.config_written = config_written,
};

/* --- the VM --- */

static int add_device(struct lacuna_config *config, struct lacuna_error **err)
{
	const struct layout layout = { .length_max = htole32(LENGTH_MAX) };
	const struct layout writable = { .mode = UINT32_MAX };
	const struct lacuna_virtio_device device = {
		.size = sizeof(device),
		.name = "speller",
		.device_id = 63,
		.features = F_LOWER,
		.queues = 1,
		.queue_size = 64,
		.config = &layout,
		.config_writable = &writable,
		.config_size = sizeof(layout),
		.bus = LACUNA_BUS_ANY,
		.ops = &ops,
	};
	return lacuna_config_add_virtio_device(config, &device, err); /* copies all of it */
}

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
	return rc < 0 ? rc : add_device(config, err);
}

int main(int argc, char **argv)
{
	struct lacuna_config *config = NULL;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	enum lacuna_end_reason reason = LACUNA_END_NONE;
	int code = 0, status = 125;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: custom-virtio KERNEL [COMMAND-LINE]\n");
		return status;
	}
	if (lacuna_config_new(&config, &err) == 0 && configure(config, argv, &err) == 0 &&
		lacuna_vm_new(config, &vm, &err) == 0 && lacuna_vm_start(vm, &err) == 0 &&
		lacuna_vm_wait(vm, &reason, &code, &err) == 0) {
		if (reason == LACUNA_END_EXIT_CODE || reason == LACUNA_END_POWEROFF)
			status = code;
		else
			fprintf(stderr, "custom-virtio: the VM ended by %s %s\n",
				lacuna_end_reason_name(reason), lacuna_vm_end_message(vm));
	} else {
		fprintf(stderr, "custom-virtio: %s\n", lacuna_error_message(err));
	}
	lacuna_error_free(err);
	lacuna_vm_free(vm);
	lacuna_config_free(config);
	return status;
}
