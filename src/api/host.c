// SPDX-License-Identifier: Apache-2.0
/* What this host offers to a VM: the answer behind `lacuna doctor`. */
#include <lacuna/vm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kvm/kvm.h"
#include "kvm/vm.h"
#include "pci/ones.h"
#include "util/err.h"
#include "util/fd.h"

struct report {
	void (*fn)(void *opaque, bool ok, const char *topic, const char *text);
	void *opaque;
};

static void say(const struct report *r, bool ok, const char *topic, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void say(const struct report *r, bool ok, const char *topic, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->fn(r->opaque, ok, topic, text);
}

static void on_capability(void *opaque, const char *name, bool have, bool required, const char *use)
{
	say(opaque, have || !required, name, "%s%s",
		have       ? "yes: "
		: required ? "missing, needed for: "
			   : "no, done without: ",
		use);
}

static void check_flavour(const struct report *r)
{
	const char *flavour = kvm_flavour();
	bool hardware = kvm_flavour_is_hardware(flavour);
	say(r, true, "flavour", "%s", flavour);
	if (hardware)
		say(r, true, "stock guests", "yes: guest code runs on the CPU");
	else if (!strcmp(flavour, "unknown"))
		say(r, true, "stock guests",
			"not known: neither kvm_intel nor kvm_amd is loaded as a module");
	else
		say(r, false, "stock guests",
			"no: %s interprets guest code in software, which boots small guests but no "
			"stock kernel; use a host with VMX or SVM, or nested virtualisation",
			flavour);
}

static int check_window(const struct report *r, int kvm_fd, struct lacuna_error **err)
{
	struct kvm_vm vm;
	int rc = kvm_vm_init(&vm, kvm_fd, err);
	if (rc < 0)
		return rc;
	if (vm.readonly_mem)
		say(r, true, "ECAM window", "memory: config reads never leave the guest");
	else
		say(r, false, "ECAM window",
			"trap: this VM type has no read-only memory slots (KVM_CAP_READONLY_MEM)");
	kvm_vm_done(&vm);

	const struct ones *ones;
	rc = ones_get(true, &ones, err);
	if (rc < 0)
		return rc;
	if (ones->large_is_huge)
		say(r, true, "large pages",
			"yes: one 2 MiB page serves every bus without functions");
	else
		say(r, true, "large pages",
			"no: a first read of each absent function faults once in the kernel, and RAM "
			"comes in pages of 4 KiB; enable transparent huge pages (madvise or always)");
	ones_put();
	return 0;
}

LACUNA_API int lacuna_host_check(
	void (*fn)(void *opaque, bool ok, const char *topic, const char *text), void *opaque,
	struct lacuna_error **err)
{
	struct report r = { .fn = fn, .opaque = opaque };
	AUTO_CLOSE int fd = -1;
	if (!fn)
		return err_set(err, EINVAL, "lacuna_host_check: an argument is NULL");
	int rc = kvm_open(&fd, err);
	if (rc < 0)
		return rc;
	say(&r, true, "/dev/kvm", "opened, API version 12");
	kvm_list_capabilities(fd, on_capability, &r);
	say(&r, true, "vCPUs", "up to %d a VM", kvm_max_vcpus(fd));
	say(&r, true, "memory slots", "up to %d a VM", kvm_max_slots(fd));
	check_flavour(&r);
	return check_window(&r, fd, err);
}
