// SPDX-License-Identifier: Apache-2.0
/* Descriptions of devices of the embedder's own: what is refused and how it is said, what is
 * copied, and structures of other versions. */
#include <criterion/criterion.h>
#include <errno.h>
#include <lacuna/device.h>
#include <stdlib.h>
#include <string.h>

#include "api/config.h"
#include "machine/custom.h"
#include "util/bytes.h"

static int create_pci(
	void *opaque, struct lacuna_pci_function *f, void **ret_state, struct lacuna_error **err)
{
	return 0;
}

static int create_virtio(
	void *opaque, struct lacuna_virtio *v, void **ret_state, struct lacuna_error **err)
{
	return 0;
}

static void kicked(void *state, unsigned queue)
{
}

static const uint8_t body[12] = { 16, 1, 2, 3 }, mask[12] = { 0, 0xff };

/* Two sound descriptions; each test spoils a copy. */
struct pci_set {
	struct lacuna_pci_device device;
	struct lacuna_pci_ops ops;
	struct lacuna_pci_capability cap[2];
};

static const struct pci_set sound_pci = {
	.device = {
		.size = sizeof(struct lacuna_pci_device),
		.name = "dma",
		.vendor_id = 0x1af4,
		.device_id = 0x10f0,
		.class_code = 0xff0000,
		.bar = { { .size = 4096 }, { 0 }, { .size = 1 << 20, .is_64 = true } },
		.msix_vectors = 3,
		.msix_bar = 4,
		.capability_count = 2,
		.bus = LACUNA_BUS_ANY,
	},
	.ops = { .size = sizeof(struct lacuna_pci_ops), .create = create_pci },
	.cap = {
		{ .id = 9, .body = body, .writable = mask, .size = sizeof(body) },
		{ .id = 0xb, .extended = true, .version = 1, .body = body, .size = sizeof(body) },
	},
};

struct virtio_set {
	struct lacuna_virtio_device device;
	struct lacuna_virtio_ops ops;
};

static const struct virtio_set sound_virtio = {
	.device = {
		.size = sizeof(struct lacuna_virtio_device),
		.name = "kv",
		.device_id = 42,
		.features = UINT64_C(1) << 50 | 1,
		.queues = 2,
		.queue_size = 64,
		.config = body,
		.config_writable = mask,
		.config_size = sizeof(body),
		.bus = 3,
	},
	.ops = {
		.size = sizeof(struct lacuna_virtio_ops),
		.create = create_virtio,
		.kicked = kicked,
	},
};

static struct lacuna_config *config;

static void set_up(void)
{
	cr_assert_eq(lacuna_config_new(&config, NULL), 0);
}

static void tear_down(void)
{
	lacuna_config_free(config);
}

TestSuite(device_args, .init = set_up, .fini = tear_down);

/* A field given another value. */
struct poke {
	size_t at, size;
	uint64_t value;
};

struct bad {
	struct poke poke[2];
	const char *message; /* part of it */
};

static void apply(void *set, const struct bad *b)
{
	for (unsigned i = 0; i < ARRAY_SIZE(b->poke); i++)
		if (b->poke[i].size)
			store_le((uint8_t *)set + b->poke[i].at, b->poke[i].value,
				(unsigned)b->poke[i].size);
}

static void expect_refused(int rc, struct lacuna_error *err, const char *message)
{
	cr_expect_eq(rc, -EINVAL, "%s", message);
	cr_expect_eq(lacuna_error_code(err), EINVAL);
	cr_expect(strstr(lacuna_error_message(err), message), "'%s' is not in '%s'", message,
		lacuna_error_message(err));
	cr_expect_eq(config->machine.device_count, 0);
	lacuna_error_free(err);
}

/* clang-format off */
#define P(field, v)  { offsetof(struct pci_set, field), sizeof(sound_pci.field), (uint64_t)(v) }
#define V(field, v)  { offsetof(struct virtio_set, field), sizeof(sound_virtio.field), (uint64_t)(v) }
#define TEXT(s)      (uintptr_t)(s)
/* clang-format on */

static int add_pci(struct pci_set *s, struct lacuna_error **err)
{
	if (!s->device.ops)
		s->device.ops = &s->ops;
	if (!s->device.capability)
		s->device.capability = s->cap;
	return lacuna_config_add_pci_device(config, &s->device, err);
}

static int add_virtio(struct virtio_set *s, struct lacuna_error **err)
{
	if (!s->device.ops)
		s->device.ops = &s->ops;
	return lacuna_config_add_virtio_device(config, &s->device, err);
}

Test(device_args, bad_pci_devices)
{
	static const uint8_t both[256] = { 0, 1 };
	const struct bad bad[] = {
		{ { P(device.size, 0) }, "PCI device: size: 0 is not that of the structure" },
		{ { P(device.size, 7) }, "PCI device: size: 7 is not" },
		{ { P(device.size, 4097) }, "PCI device: size: 4097 is not" },
		{ { P(device.size, UINT64_MAX) }, "is not that of the structure" },
		{ { P(device.size, 16) }, "PCI device: ops: it is NULL" },
		{ { P(device.name, 0) }, "PCI device: name: '' will not do" },
		{ { P(device.name, TEXT("")) }, "name: '' will not do" },
		{ { P(device.name, TEXT("Dma")) }, "name: 'Dma' will not do; give 1 to 23 of a-z" },
		{ { P(device.name, TEXT("d_a")) }, "name: 'd_a' will not do" },
		{ { P(device.name, TEXT("dma1")) }, "name: 'dma1' will not do" },
		{ { P(device.name, TEXT("1dma")) }, "name: '1dma' will not do" },
		{ { P(device.name, TEXT("-dma")) }, "name: '-dma' will not do" },
		{ { P(device.name, TEXT("abcdefghijklmnopqrstuvwx")) }, "will not do" },
		{ { P(device.name, TEXT("disk")) },
			"name: 'disk' is a key of lacuna_config_set()" },
		{ { P(device.name, TEXT("memory")) }, "name: 'memory' is a key of" },
		{ { P(device.vendor_id, 0xffff) }, "PCI device 'dma': vendor_id: 0xffff stands" },
		{ { P(device.vendor_id, 0) }, "vendor_id: 0 stands for no function" },
		{ { P(device.vendor_id, 1) }, "vendor_id: 0x1 stands for no function" },
		{ { P(device.class_code, 0x1000000) }, "class_code: 0x1000000 has more than 24" },
		{ { P(device.bar[0].size, 1) }, "bar[0].size: 1 is not a power of two" },
		{ { P(device.bar[0].size, 2048) }, "bar[0].size: 2048 is not a power of two" },
		{ { P(device.bar[0].size, 12288) }, "bar[0].size: 12288 is not a power of two" },
		{ { P(device.bar[0].size, UINT64_C(1) << 31) }, "bar[0].size: 2147483648 is not" },
		{ { P(device.bar[0].size, UINT64_MAX) }, "bar[0].size: 18446744073709551615" },
		{ { P(device.bar[3].size, 4096) }, "bar: bar[2].is_64 takes the place of BAR 3" },
		{ { P(device.bar[5].size, 4096), P(device.bar[5].is_64, 1) },
			"bar[5].is_64: there is no BAR after it" },
		{ { P(device.msix_bar, 5), P(device.bar[5].is_64, 1) },
			"bar[5].is_64: there is no BAR after it" },
		{ { P(device.msix_vectors, 2049) }, "msix_vectors: 2049 is more than the 2048" },
		{ { P(device.msix_vectors, UINT32_MAX) }, "msix_vectors: 4294967295 is more" },
		{ { P(device.msix_bar, 6) }, "msix_bar: there is no BAR 6" },
		{ { P(device.msix_bar, UINT32_MAX) }, "msix_bar: there is no BAR 4294967295" },
		{ { P(device.msix_bar, 0) }, "msix_bar: bar[0] is to hold the interrupts" },
		{ { P(device.msix_bar, 3) }, "msix_bar: bar[2].is_64 takes the place of BAR 3" },
		{ { P(device.bar[4].is_64, 1), P(device.bar[5].size, 4096) },
			"bar: bar[4].is_64 takes the place of BAR 5" },
		{ { P(cap[0].id, 0) }, "capability[0].id: 0 is none" },
		{ { P(cap[0].id, 0xff) }, "capability[0].id: 0xff is none" },
		{ { P(cap[0].id, 0x109) }, "capability[0].id: 0x109 is none" },
		{ { P(cap[0].id, 0x05) }, "capability[0].id: 0x5 is the library's" },
		{ { P(cap[0].id, 0x10) }, "capability[0].id: 0x10 is the library's" },
		{ { P(cap[0].id, 0x11) }, "capability[0].id: 0x11 is the library's" },
		{ { P(cap[0].version, 1) }, "capability[0].version: 1 is more than 0" },
		{ { P(cap[1].id, 0) }, "capability[1].id: 0 is none" },
		{ { P(cap[1].id, 0xffff) }, "capability[1].id: 0xffff is none" },
		{ { P(cap[1].id, 3) }, "capability[1].id: 0x3 is the library's" },
		{ { P(cap[1].version, 16) }, "capability[1].version: 16 is more than 15" },
		{ { P(device.bar[3].reserved[5], 1) }, "bar[3].reserved: it is not 0" },
		{ { P(cap[0].writable, both), P(cap[0].write_1_clear, both) },
			"capability[0].write_1_clear: it has bits of .writable in byte 1" },
		{ { P(cap[1].reserved[1], 1) }, "capability[1].reserved: it is not 0" },
		{ { P(cap[0].size, 119) }, "capability[0].size: 119 bytes and their header" },
		{ { P(cap[0].size, SIZE_MAX) }, "capability[0].size: 18446744073709551615 bytes" },
		{ { P(cap[0].size, SIZE_MAX - 1) }, "and their header find no room" },
		{ { P(cap[1].size, 3825) }, "capability[1].size: 3825 bytes and their header" },
		{ { P(cap[1].size, SIZE_MAX) }, "capability[1].size" },
		{ { P(device.bus, -2) }, "bus: -2 is none; give 0 to 255, or LACUNA_BUS_ANY" },
		{ { P(device.bus, 256) }, "bus: 256 is none" },
		{ { P(ops.size, 0) }, "PCI device: ops.size: 0 is not that of the structure" },
		{ { P(ops.create, 0) }, "PCI device 'dma': ops.create: it is NULL, but required" },
	};
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pci_set s = sound_pci;
		struct lacuna_error *err = NULL;
		apply(&s, &bad[i]);
		int rc = add_pci(&s, &err);
		expect_refused(rc, err, bad[i].message);
	}
}

Test(device_args, bad_virtio_devices)
{
	const struct bad bad[] = {
		{ { V(device.size, 0) }, "virtio device: size: 0 is not that of the structure" },
		{ { V(device.size, 16) }, "virtio device: ops: it is NULL" },
		{ { V(device.name, 0) }, "virtio device: name: '' will not do" },
		{ { V(device.name, TEXT("vsock")) }, "name: 'vsock' is a key of" },
		{ { V(device.device_id, 0) }, "virtio device 'kv': device_id: 0 is none" },
		{ { V(device.device_id, 64) }, "device_id: 64 is none; give 1 to 63" },
		{ { V(device.features, UINT64_C(1) << 24) },
			"features: bits of 0x1000000 are not" },
		{ { V(device.features, UINT64_C(1) << 32) }, "features: bits of 0x100000000 are" },
		{ { V(device.features, UINT64_MAX) }, "features: bits of 0x3ffffff000000 are not" },
		{ { V(device.queues, 0) }, "queues: 0; give 1 to 64" },
		{ { V(device.queues, 65) }, "queues: 65; give 1 to 64" },
		{ { V(device.queue_size, 0) }, "queue_size: 0 is not a power of two up to 256" },
		{ { V(device.queue_size, 3) }, "queue_size: 3 is not" },
		{ { V(device.queue_size, 512) }, "queue_size: 512 is not" },
		{ { V(device.config_size, 4097) }, "config_size: 4097 is more than 4096" },
		{ { V(device.config_size, SIZE_MAX) }, "config_size: 18446744073709551615 is" },
		{ { V(device.bus, 256) }, "bus: 256 is none" },
		{ { V(device.bus, -100) }, "bus: -100 is none" },
		{ { V(ops.size, 1) }, "virtio device: ops.size: 1 is not" },
		{ { V(ops.create, 0) }, "ops.create: it is NULL, but required" },
		{ { V(ops.kicked, 0) }, "ops.kicked: it is NULL, but required" },
	};
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct virtio_set s = sound_virtio;
		struct lacuna_error *err = NULL;
		apply(&s, &bad[i]);
		int rc = add_virtio(&s, &err);
		expect_refused(rc, err, bad[i].message);
	}
}

Test(device_args, null)
{
	struct pci_set p = sound_pci;
	struct lacuna_error *err = NULL;
	int rc = lacuna_config_add_pci_device(NULL, &p.device, &err);
	expect_refused(rc, err, "PCI device: configuration or description is NULL");
	err = NULL;
	rc = lacuna_config_add_virtio_device(config, NULL, &err);
	expect_refused(rc, err, "virtio device: configuration or description is NULL");
	err = NULL;
	p.device.ops = &p.ops; /* but no capabilities, though there are to be two */
	rc = lacuna_config_add_pci_device(config, &p.device, &err);
	expect_refused(rc, err, "PCI device 'dma': capability: it is NULL");
	cr_expect_eq(lacuna_config_add_pci_device(config, NULL, NULL), -EINVAL);
}

/* Everything the description points to may be gone when the call has returned. */
Test(device_args, pci_device_is_copied)
{
	struct pci_set *s = malloc(sizeof(*s));
	uint8_t *bytes = malloc(sizeof(body));
	char *name = strdup("dma");
	*s = sound_pci;
	memcpy(bytes, body, sizeof(body));
	s->cap[0].body = bytes;
	s->device.name = name;
	s->device.opaque = config;
	cr_assert_eq(add_pci(s, NULL), 0);
	memset(bytes, 0xff, sizeof(body));
	memset(name, 'x', 3);
	memset(s, 0xff, sizeof(*s));
	free(s);
	free(bytes);
	free(name);

	cr_assert_eq(config->machine.device_count, 1);
	const struct machine_device_option *o = &config->machine.devices[0];
	const struct lacuna_pci_device *d = o->pci;
	cr_expect_str_eq(o->option, "dma");
	cr_expect_str_eq(o->text, "");
	cr_assert(d && !o->virtio);
	cr_expect_str_eq(d->name, "dma");
	cr_expect_eq(d->ops->create, create_pci);
	cr_expect_eq(d->opaque, config);
	cr_expect_eq(d->capability_count, 2);
	cr_expect_eq(memcmp(d->capability[0].body, body, sizeof(body)), 0);
	cr_expect_eq(memcmp(d->capability[0].writable, mask, sizeof(mask)), 0);
	cr_expect_null(d->capability[1].writable);
}

Test(device_args, virtio_device_is_copied)
{
	struct virtio_set s = sound_virtio;
	cr_assert_eq(add_virtio(&s, NULL), 0);
	memset(&s, 0xff, sizeof(s));
	const struct machine_device_option *o = &config->machine.devices[0];
	const struct lacuna_virtio_device *d = o->virtio;
	cr_expect_str_eq(o->option, "kv");
	cr_expect_str_eq(o->text, "bus=3");
	cr_assert(d && !o->pci);
	cr_expect_eq(d->ops->kicked, kicked);
	cr_expect_eq(memcmp(d->config, body, sizeof(body)), 0);
	cr_expect_eq(memcmp(d->config_writable, mask, sizeof(mask)), 0);
	cr_expect_neq(d->config, (const void *)body);
}

/* At the edges of what is taken. */
Test(device_args, sound_pci_devices)
{
	const struct bad good[] = {
		{ { P(device.size, sizeof(struct lacuna_pci_device)) }, "" },
		{ { P(device.name, TEXT("a")) }, "" },
		{ { P(device.name, TEXT("abcdefghij-0123456789-x")) }, "" },
		{ { P(device.class_code, 0xffffff) }, "" },
		{ { P(device.bar[0].size, UINT64_C(1) << 30) }, "" },
		{ { P(device.msix_vectors, 2048), P(device.bar[4].is_64, 1) }, "" },
		{ { P(device.msix_vectors, 0), P(device.msix_bar, 99) }, "" },
		{ { P(device.bar[5].size, 4096) }, "" },
		{ { P(device.bar[5].is_64, 1) }, "" }, /* of no BAR */
		{ { P(cap[1].extended, 0), P(cap[1].version, 0) }, "" },
		{ { P(cap[0].size, 0), P(cap[0].body, 0) }, "" },
		{ { P(device.bus, 255) }, "" },
		{ { P(device.capability_count, 0) }, "" },
	};
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		struct pci_set s = sound_pci;
		struct lacuna_error *err = NULL;
		apply(&s, &good[i]);
		cr_expect_eq(add_pci(&s, &err), 0, "%u: %s", i, lacuna_error_message(err));
	}
	cr_expect_eq(config->machine.device_count, ARRAY_SIZE(good));
}

/* The last byte there is room for, and one more. */
Test(device_args, room_for_capabilities)
{
	static const uint8_t bytes[4096];
	static const struct {
		bool extended;
		unsigned vectors;
		size_t room;
	} rows[] = { { false, 1, 120 }, { false, 0, 132 }, { true, 1, 3828 } };
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pci_set s = sound_pci;
		struct lacuna_error *err = NULL;
		size_t header = rows[i].extended ? 4 : 2;
		s.device.msix_vectors = rows[i].vectors;
		s.cap[0] = s.cap[1] = (struct lacuna_pci_capability){
			.id = 9, .extended = rows[i].extended, .body = bytes, .size = 10
		};
		size_t first = align_up(10 + header, 4);
		s.cap[1].size = rows[i].room - first - header;
		cr_expect_eq(add_pci(&s, &err), 0, "%s", lacuna_error_message(err));
		s.cap[1].size++;
		cr_expect_eq(add_pci(&s, &err), -EINVAL);
		cr_expect(strstr(lacuna_error_message(err), "capability[1].size"), "%s",
			lacuna_error_message(err));
		lacuna_error_free(err);
	}
}

/* --- structures of other versions --- */

struct newer {
	struct lacuna_virtio_device device;
	uint64_t unknown;
};

Test(device_args, larger_structure)
{
	struct virtio_set s = sound_virtio;
	struct newer n = { .device = s.device };
	struct lacuna_error *err = NULL;
	n.device.ops = &s.ops;
	n.device.size = sizeof(n);
	cr_expect_eq(lacuna_config_add_virtio_device(config, &n.device, NULL), 0);
	n.unknown = UINT64_C(1) << 63;
	cr_expect_eq(lacuna_config_add_virtio_device(config, &n.device, &err), -EINVAL);
	cr_expect(strstr(lacuna_error_message(err), "virtio device: size: a field beyond byte"),
		"%s", lacuna_error_message(err));
	lacuna_error_free(err);
	cr_expect_eq(config->machine.devices[0].virtio->size, sizeof(struct lacuna_virtio_device));
}

/* What the caller's structure does not have is not read: the address sanitizer would tell. */
Test(device_args, smaller_structures)
{
	struct virtio_set s = sound_virtio;
	s.device.size = offsetof(struct lacuna_virtio_device, opaque);
	s.ops.size = offsetof(struct lacuna_virtio_ops, deactivate);
	s.device.ops = malloc(s.ops.size);
	void *device = malloc(s.device.size);
	memcpy((void *)(uintptr_t)s.device.ops, &s.ops, s.ops.size);
	memcpy(device, &s.device, s.device.size);
	cr_assert_eq(lacuna_config_add_virtio_device(config, device, NULL), 0);
	free(device);
	free((void *)(uintptr_t)s.device.ops);
	const struct lacuna_virtio_device *d = config->machine.devices[0].virtio;
	cr_expect_null(d->opaque);
	cr_expect_eq(d->ops->kicked, kicked);
	cr_expect_null(d->ops->deactivate);
	cr_expect_null(d->ops->config_written);
}
