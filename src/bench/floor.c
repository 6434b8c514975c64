// SPDX-License-Identifier: Apache-2.0
/*
 * A VM by bare ioctls (Documentation/virt/kvm/api.rst), of the shape that lacuna's default machine
 * has: one vCPU, anonymous RAM, a read-only slot of 1 MiB where the ECAM window of one bus is, the
 * in-kernel interrupt controllers, what CPUID KVM offers, 32-bit protected mode as PVH has it. This
 * file alone speaks to KVM without the library, which is measured by it.
 */
#include "bench/floor.h"

#include <abi/layout.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CPUID_ENTRIES 256
#define STACK_SIZE    ((size_t)256 * 1024)
#define CR0_PE        1u
#define CR0_ET        (1u << 4)

struct floor {
	const struct floor_shape *shape;
	struct why *why;
	int kvm, vm, vcpu, window_fd;
	uint8_t *ram, *window;
	struct kvm_run *run;
	size_t run_size;
	struct kvm_cpuid2 *cpuid;
	uint64_t first;
	bool ran;
};

/* An ioctl that must not fail. */
static int call(struct floor *f, int fd, unsigned long request, void *argument, const char *name)
{
	int rc = ioctl(fd, request, argument);
	return rc < 0 ? why_set(f->why, "%s: %s", name, strerror(errno)) : rc;
}

#define CALL(f, fd, request, argument) call(f, fd, request, argument, #request)

static int open_kvm(struct floor *f)
{
	f->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (f->kvm < 0)
		return why_set(f->why, "open /dev/kvm: %s", strerror(errno));
	f->cpuid = calloc(1, sizeof(*f->cpuid) + CPUID_ENTRIES * sizeof(f->cpuid->entries[0]));
	if (!f->cpuid)
		return why_set(f->why, "out of memory");
	f->cpuid->nent = CPUID_ENTRIES;
	if (CALL(f, f->kvm, KVM_GET_SUPPORTED_CPUID, f->cpuid) < 0)
		return -1;
	int size = CALL(f, f->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (size < 0)
		return -1;
	f->run_size = (size_t)size;
	f->vm = CALL(f, f->kvm, KVM_CREATE_VM, NULL);
	return f->vm < 0 ? -1 : 0;
}

static uint8_t *map_ram(uint64_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	madvise(map, size, MADV_NOHUGEPAGE); /* none is worth its clearing here */
	return map;
}

static uint8_t *map_window(int *fd)
{
	*fd = memfd_create("floor-window", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, LAYOUT_ECAM_BUS_SIZE) < 0)
		return NULL;
	void *map = mmap(NULL, LAYOUT_ECAM_BUS_SIZE, PROT_READ, MAP_SHARED | MAP_NORESERVE, *fd, 0);
	return map == MAP_FAILED ? NULL : map;
}

static int set_slot(struct floor *f, unsigned slot, uint32_t flags, uint64_t gpa, uint64_t size,
	const uint8_t *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};
	return CALL(f, f->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static int make_memory(struct floor *f)
{
	const struct floor_shape *s = f->shape;
	f->ram = map_ram(s->memory);
	f->window = map_window(&f->window_fd);
	if (!f->ram || !f->window)
		return why_set(f->why, "map memory: %s", strerror(errno));
	if (set_slot(f, 0, 0, 0, s->memory, f->ram) < 0)
		return -1;
	return set_slot(f, 1, KVM_MEM_READONLY, LAYOUT_ECAM_BASE, LAYOUT_ECAM_BUS_SIZE, f->window);
}

static int make_irqchip(struct floor *f)
{
	uint64_t identity_map = LAYOUT_IDENTITY_MAP;
	if (CALL(f, f->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 ||
		CALL(f, f->vm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)LAYOUT_TSS) < 0)
		return -1;
	return CALL(f, f->vm, KVM_CREATE_IRQCHIP, NULL);
}

static int set_registers(struct floor *f)
{
	struct kvm_sregs s;
	struct kvm_regs r = { .rflags = 2, .rip = LAYOUT_KERNEL };
	struct kvm_segment data = { .limit = 0xffffffff,
		.selector = 0x18,
		.type = 3,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1 };
	if (CALL(f, f->vcpu, KVM_GET_SREGS, &s) < 0)
		return -1;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cs = data;
	s.cs.selector = 0x10;
	s.cs.type = 0xb;
	s.tr = (struct kvm_segment){ .limit = 0x67, .type = 0xb, .present = 1 };
	s.cr0 = CR0_PE | CR0_ET;
	s.cr4 = s.efer = 0;
	if (CALL(f, f->vcpu, KVM_SET_SREGS, &s) < 0)
		return -1;
	return CALL(f, f->vcpu, KVM_SET_REGS, &r);
}

static int make_vcpu(struct floor *f)
{
	f->vcpu = CALL(f, f->vm, KVM_CREATE_VCPU, NULL);
	if (f->vcpu < 0)
		return -1;
	void *run = mmap(NULL, f->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, f->vcpu, 0);
	if (run == MAP_FAILED)
		return why_set(f->why, "map the vCPU: %s", strerror(errno));
	f->run = run;
	if (CALL(f, f->vcpu, KVM_SET_CPUID2, f->cpuid) < 0)
		return -1;
	return set_registers(f);
}

static void *vcpu_thread(void *opaque)
{
	struct floor *f = opaque;
	int rc;
	do
		rc = ioctl(f->vcpu, KVM_RUN, NULL);
	while (rc < 0 && (errno == EINTR || errno == EAGAIN));
	f->first = now_ns();
	if (rc < 0)
		why_set(f->why, "KVM_RUN: %s", strerror(errno));
	else if (f->run->exit_reason != KVM_EXIT_IO || f->run->io.port != LAYOUT_PORT_EXIT_CODE)
		why_set(f->why, "the floor's guest went astray: exit reason %u",
			f->run->exit_reason);
	else
		f->ran = true;
	return NULL;
}

static int run_vcpu(struct floor *f)
{
	pthread_t thread;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	int rc = pthread_create(&thread, &attr, vcpu_thread, f);
	pthread_attr_destroy(&attr);
	if (rc)
		return why_set(f->why, "create a thread: %s", strerror(rc));
	pthread_join(thread, NULL);
	return f->ran ? 0 : -1;
}

static void take_down(struct floor *f)
{
	int fd[] = { f->vcpu, f->vm, f->kvm, f->window_fd };
	if (f->run)
		munmap(f->run, f->run_size);
	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		if (fd[i] >= 0)
			close(fd[i]);
	if (f->ram)
		munmap(f->ram, f->shape->memory);
	if (f->window)
		munmap(f->window, LAYOUT_ECAM_BUS_SIZE);
	free(f->cpuid);
}

int floor_run(const struct floor_shape *shape, struct floor_times *ret, struct why *why)
{
	struct floor f = {
		.shape = shape,
		.why = why,
		.kvm = -1,
		.vm = -1,
		.vcpu = -1,
		.window_fd = -1,
	};
	int rc = open_kvm(&f);
	if (rc == 0 && shape->irqchip_first)
		rc = make_irqchip(&f);
	if (rc == 0)
		rc = make_memory(&f);
	if (rc == 0 && !shape->irqchip_first)
		rc = make_irqchip(&f);
	if (rc == 0)
		rc = make_vcpu(&f);
	if (rc == 0) {
		memcpy(f.ram + LAYOUT_KERNEL, shape->code, shape->size);
		ret->created = now_ns();
		rc = run_vcpu(&f);
		ret->first = f.first;
	}
	take_down(&f);
	return rc;
}
