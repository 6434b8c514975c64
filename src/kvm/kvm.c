// SPDX-License-Identifier: Apache-2.0
/* The KVM system descriptor (Documentation/virt/kvm/api.rst, system ioctls). */
#include "kvm/kvm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

struct capability {
	int number;
	bool required;
	const char *name, *use;
};

#define CAP(name, required, use)                                \
	{                                                       \
		KVM_CAP_##name, required, "KVM_CAP_" #name, use \
	}

static const struct capability capabilities[] = {
	CAP(USER_MEMORY, true, "guest memory"),
	CAP(IRQCHIP, true, "in-kernel interrupt controllers"),
	CAP(EXT_CPUID, true, "CPUID"),
	CAP(SET_TSS_ADDR, true, "placing KVM's own pages"),
	CAP(SET_IDENTITY_MAP_ADDR, true, "placing KVM's own pages"),
	CAP(MP_STATE, true, "several vCPUs"),
	CAP(IRQ_ROUTING, true, "MSI-X"),
	CAP(IRQFD, true, "interrupts from eventfds"),
	CAP(IOEVENTFD, true, "queue notifications as eventfds"),
	CAP(IMMEDIATE_EXIT, true, "stopping a vCPU"),
	CAP(COALESCED_MMIO, true, "writes without exits"),
	CAP(READONLY_MEM, false, "the ECAM window as memory"),
	CAP(COALESCED_PIO, false, "serial output with one exit per 16 bytes"),
	CAP(TSC_DEADLINE_TIMER, false, "the guest's timer without calibration"),
	CAP(GET_TSC_KHZ, false, "telling the guest its TSC frequency"),
	{ 236, false, "KVM_CAP_PRE_FAULT_MEMORY", "a window without first-read faults" },
	CAP(BINARY_STATS_FD, false, "the kernel's own counters in the statistics"),
};

void kvm_list_capabilities(int kvm_fd,
	void (*fn)(void *opaque, const char *name, bool have, bool required, const char *use),
	void *opaque)
{
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		const struct capability *c = &capabilities[i];
		fn(opaque, c->name, ioctl(kvm_fd, KVM_CHECK_EXTENSION, c->number) > 0, c->required,
			c->use);
	}
}

/* @name is what messages call it. */
static int check_kvm(int fd, const char *name, struct lacuna_error **err)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version < 0)
		return err_set(
			err, EPROTO, "%s is not KVM: it answers no KVM_GET_API_VERSION", name);
	if (version != KVM_API_VERSION)
		return err_set(err, EPROTO, "%s has API version %d, lacuna needs %d", name, version,
			KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		const struct capability *c = &capabilities[i];
		if (c->required && ioctl(fd, KVM_CHECK_EXTENSION, c->number) <= 0)
			return err_set(err, ENOTSUP,
				"this kernel's KVM lacks %s (%s): a newer kernel is needed",
				c->name, c->use);
	}
	return 0;
}

int kvm_open(int *ret_fd, struct lacuna_error **err)
{
	AUTO_CLOSE int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return err_set(err, ENOENT,
			"/dev/kvm is not there: load kvm_intel or kvm_amd, or enable virtualisation "
			"in the firmware or the outer VM");
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return err_set(err, EACCES,
			"/dev/kvm may not be opened: %s; join the group kvm or ask for access",
			strerrordesc_np(errno));
	if (fd < 0)
		return err_errno(err, "open /dev/kvm");
	int rc = check_kvm(fd, "/dev/kvm", err);
	if (rc == 0)
		*ret_fd = TAKE_FD(fd);
	return rc;
}

int kvm_adopt(int fd, int *ret_fd, struct lacuna_error **err)
{
	AUTO_CLOSE int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return err_errno(err, "kvm: duplicate");
	int rc = check_kvm(own, "kvm: the descriptor", err);
	if (rc == 0)
		*ret_fd = TAKE_FD(own);
	return rc;
}

static int check(int fd, int capability, int fallback)
{
	int n = ioctl(fd, KVM_CHECK_EXTENSION, capability);
	return n > 0 ? n : fallback;
}

int kvm_max_vcpus(int kvm_fd)
{
	/* api.rst, 4.7: without KVM_CAP_MAX_VCPUS, KVM_CAP_NR_VCPUS; without that, 4 */
	return check(kvm_fd, KVM_CAP_MAX_VCPUS, check(kvm_fd, KVM_CAP_NR_VCPUS, 4));
}

int kvm_max_slots(int kvm_fd)
{
	return check(kvm_fd, KVM_CAP_NR_MEMSLOTS, 32);
}

int kvm_vcpu_mmap_size(int kvm_fd, struct lacuna_error **err)
{
	int size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	return size < 0 ? err_errno(err, "KVM_GET_VCPU_MMAP_SIZE") : size;
}

static const char *const hardware[] = { "kvm_intel", "kvm_amd" };
static const char *const software[] = { "kvm_pvm" };

static bool module_present(const char *name)
{
	char path[64] = "/sys/module/";
	strncat(path, name, sizeof(path) - strlen(path) - 1);
	return access(path, F_OK) == 0;
}

const char *kvm_flavour(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(software); i++)
		if (module_present(software[i]))
			return software[i];
	for (size_t i = 0; i < ARRAY_SIZE(hardware); i++)
		if (module_present(hardware[i]))
			return hardware[i];
	return "unknown";
}

static bool one_of(const char *flavour, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(flavour, list[i]))
			return true;
	return false;
}

bool kvm_flavour_is_hardware(const char *flavour)
{
	return one_of(flavour, hardware, ARRAY_SIZE(hardware));
}

bool kvm_flavour_is_software(const char *flavour)
{
	return one_of(flavour, software, ARRAY_SIZE(software));
}
