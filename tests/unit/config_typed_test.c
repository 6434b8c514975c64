// SPDX-License-Identifier: Apache-2.0
/* Options set otherwise than by one text: lists of words, numbers, switches, descriptors,
 * functions. All end in the same table, and none changes anything when it is refused. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lacuna/config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/config.h"
#include "util/bytes.h"
#include "virtio/console.h"

#define CASES(table) cr_make_param_array(__typeof__((table)[0]), table, ARRAY_SIZE(table))

static struct lacuna_config *config;
static struct machine_config *c; /* the same, from inside */

static void set_up(void)
{
	cr_assert_eq(lacuna_config_new(&config, NULL), 0);
	c = &config->machine;
}

static void tear_down(void)
{
	lacuna_config_free(config);
}

TestSuite(config_typed, .init = set_up, .fini = tear_down);

static void check_refusal(int rc, int wanted, struct lacuna_error *err, const char *words)
{
	cr_expect_eq(rc, wanted);
	cr_expect(strstr(lacuna_error_message(err), words), "%s", lacuna_error_message(err));
	cr_expect_eq(lacuna_error_code(err), -wanted);
	lacuna_error_free(err);
}

/* @call stores an error in err. */
#define expect_refused(call, wanted, words)             \
	do {                                            \
		struct lacuna_error *err = NULL;        \
		int rc_ = (call);                       \
		check_refusal(rc_, wanted, err, words); \
	} while (0)

/* --- numbers --- */

struct number_case {
	char key[16];
	uint64_t value;
	int rc;
	char message[80];
};

ParameterizedTestParameters(config_typed, numbers)
{
	static struct number_case t[] = {
		{ "cpus", 1, 0, "" },
		{ "cpus", 254, 0, "" },
		{ "cpus", 0, -ERANGE, "cpus: 0 is out of range; give 1 to 254" },
		{ "cpus", 255, -ERANGE, "cpus: 255 is out of range; give 1 to 254" },
		{ "cpus", (UINT64_C(1) << 32) + 1, -ERANGE, "cpus: 4294967297 is out of range" },
		{ "cpus", UINT64_MAX, -ERANGE, "is out of range" },
		{ "memory", 32 * MIB, 0, "" },
		{ "memory", UINT64_C(1) << 51, 0, "" },
		{ "memory", 32 * MIB - 1, -ERANGE, "memory: 33554431 is too little" },
		{ "memory", 32 * MIB + 1, -EINVAL, "memory: 33554433 is not a multiple of 4K" },
		{ "memory", (UINT64_C(1) << 51) + 4096, -ERANGE, "more than an x86-64 machine" },
		{ "memory", UINT64_MAX, -ERANGE, "more than an x86-64 machine" },
		{ "timeout", 1, 0, "" },
		{ "timeout", 3600000000000000, 0, "" },
		{ "timeout", 0, -ERANGE, "timeout: 0 is out of range; give 1us to 1000000h" },
		{ "timeout", 3600000000000001, -ERANGE, "timeout: 3600000000000001 is out of" },
		{ "kernel", 1, -EINVAL, "kernel: it takes no number" },
		{ "hugepages", 1, -EINVAL, "hugepages: it takes no number" },
		{ "disk", 1, -EINVAL, "disk: it takes no number" },
		{ "kvm", 1, -EINVAL, "kvm: it takes no number" },
		{ "vcpus", 1, -EINVAL, "unknown option 'vcpus'" },
	};
	return CASES(t);
}

ParameterizedTest(struct number_case *t, config_typed, numbers)
{
	struct machine_config before;
	struct lacuna_error *why = NULL;
	memcpy(&before, c, sizeof(before));
	int rc = lacuna_config_set_u64(config, t->key, t->value, &why);
	if (t->rc) {
		check_refusal(rc, t->rc, why, t->message);
		cr_expect_arr_eq(c, &before, sizeof(before));
		return;
	}
	cr_expect_eq(rc, 0);
	expect_refused(
		lacuna_config_set_u64(config, t->key, t->value, &err), -EEXIST, "given twice");
	cr_expect_eq(lacuna_config_set(config, t->key, "1", NULL), -EEXIST);
	uint64_t stored = !strcmp(t->key, "cpus")     ? c->cpus
			  : !strcmp(t->key, "memory") ? c->memory
						      : c->timeout_us;
	cr_expect_eq(stored, t->value);
}

Test(config_typed, switches)
{
	cr_expect_eq(lacuna_config_set_bool(config, "hugepages", true, NULL), 0);
	cr_expect_eq(lacuna_config_set_bool(config, "add-cmdline", false, NULL), 0);
	cr_expect(c->hugepages && !c->add_cmdline);
	expect_refused(lacuna_config_set_bool(config, "hugepages", false, &err), -EEXIST,
		"hugepages: given twice");
	expect_refused(lacuna_config_set_bool(config, "cpus", true, &err), -EINVAL,
		"cpus: it is nothing that is on or off");
	expect_refused(lacuna_config_set_bool(config, "huge", true, &err), -EINVAL,
		"unknown option 'huge'");
	cr_expect(c->hugepages);
}

/* --- words --- */

struct words_case {
	char key[16];
	char word[6][24]; /* an empty one ends the list, unless it is a value */
	int rc;
	char text[64]; /* what is stored of a device, or part of the message */
};

ParameterizedTestParameters(config_typed, words)
{
	static struct words_case t[] = {
		{ "rng", { "" }, 0, "" },
		{ "disk", { "path", "a.img" }, 0, "path=a.img" },
		{ "disk", { "path", "/a,b,,c", "serial", "," }, 0, "path=/a,,b,,,,c,serial=,," },
		{ "disk", { "path", "a=b", "readonly", "on" }, 0, "path=a=b,readonly=on" },
		{ "disk", { "path", "" }, 0, "path=" },
		{ "net", { "kind", "passt", "fd", "7" }, 0, "kind=passt,fd=7" },
		{ "disk", { "path" }, -EINVAL, "disk: 'path' has no value" },
		{ "disk", { "pa,th", "a" }, -EINVAL, "disk: 'pa,th' is no key" },
		{ "disk", { "path=a,x", "b" }, -EINVAL, "disk: 'path=a,x' is no key" },
		{ "kernel", { "path", "a" }, -EINVAL, "kernel: it takes a value, not a list" },
		{ "cpus", { "n", "1" }, -EINVAL, "cpus: it takes a value, not a list" },
		{ "kvm", { "fd", "1" }, -EINVAL, "kvm: it takes a value, not a list" },
		{ "pci", { "bus", "1" }, -EINVAL, "pci: unknown key 'bus'" },
		{ "pci", { "", "1" }, -EINVAL, "pci: a key is missing" },
		{ "console", { "kind", "tty" }, -EINVAL, "console: 'tty' is unknown" },
		{ "video", { "a", "b" }, -EINVAL, "unknown option 'video'" },
	};
	return CASES(t);
}

ParameterizedTest(struct words_case *t, config_typed, words)
{
	const char *words[7] = { 0 };
	struct lacuna_error *why = NULL;
	for (unsigned i = 0; i < 6 && (t->word[i][0] || t->word[i ^ 1][0]); i++)
		if (t->word[i][0] || i % 2 == 0 || !strcmp(t->text, "path="))
			words[i] = t->word[i];
	int rc = lacuna_config_set_words(config, t->key, words, &why);
	if (t->rc) {
		check_refusal(rc, t->rc, why, t->text);
		cr_expect_eq(c->device_count, 0u);
		return;
	}
	cr_expect_eq(rc, 0, "%s", lacuna_error_message(why));
	cr_assert_eq(c->device_count, 1u);
	cr_expect_str_eq(c->devices[0].option, t->key);
	cr_expect_str_eq(c->devices[0].text, t->text);
}

Test(config_typed, words_and_texts_mean_the_same)
{
	static const char *const pci[] = { "config", "both", "buses", "4", NULL };
	static const char *const serial[] = { "file", "a,b", NULL };
	cr_expect_eq(lacuna_config_set_words(config, "pci", pci, NULL), 0);
	cr_expect_eq(lacuna_config_set(config, "pci", "buses=4", NULL), -EEXIST);
	cr_expect(c->pci.config == MACHINE_PCI_BOTH && c->pci.buses == 4);
	cr_expect_eq(lacuna_config_set_words(config, "serial", serial, NULL), 0);
	cr_expect_eq(c->serial.kind, CHARDEV_FILE);
	cr_expect_str_eq(c->serial.path, "a,b");
}

/* --- descriptors --- */

Test(config_typed, descriptors)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_expect_not(machine_config_has_kernel(c));
	cr_expect_eq(lacuna_config_set_fd(config, "kernel", fd, NULL), 0);
	cr_expect(machine_config_has_kernel(c));
	cr_expect_eq(lacuna_config_set_fd(config, "kvm", fd, NULL), 0);
	expect_refused(
		lacuna_config_set_fd(config, "kernel", fd, &err), -EEXIST, "kernel: given twice");
	cr_expect_eq(lacuna_config_set(config, "kernel", "vmlinuz", NULL), -EEXIST);
	for (unsigned i = 0; i < 2; i++)
		cr_expect_eq(lacuna_config_set_fd(config, "initrd", fd, NULL), 0);
	cr_expect_eq(lacuna_config_set(config, "initrd", "initrd.img", NULL), 0);
	cr_assert_eq(c->initrd_count, 3u);
	cr_expect(c->initrds[0].fd >= 0 && c->initrds[1].fd != c->initrds[0].fd);
	cr_expect(c->initrds[1].number == fd && !c->initrds[1].path);
	cr_expect_eq(c->initrds[2].fd, -1);
	close(fd);
	int own = c->kernel.fd;
	cr_expect(fcntl(own, F_GETFD) & FD_CLOEXEC);
	cr_expect(c->kvm_fd >= 0 && c->kvm_fd != own);
	lacuna_config_free(config);
	cr_expect_lt(fcntl(own, F_GETFD), 0);
	set_up();
	expect_refused(lacuna_config_set_fd(config, "kernel", 999, &err), -EBADF,
		"kernel: fd 999 is not an open descriptor");
	expect_refused(lacuna_config_set_fd(config, "initrd", 999, &err), -EBADF,
		"initrd: fd 999 is not an open descriptor");
	expect_refused(lacuna_config_set_fd(config, "kvm", -1, &err), -EBADF,
		"kvm: fd -1 is not an open descriptor");
	expect_refused(lacuna_config_set_fd(config, "disk", 0, &err), -EINVAL,
		"disk: it takes no descriptor");
	expect_refused(lacuna_config_set(config, "kvm", "/dev/kvm", &err), -EINVAL,
		"kvm: only a descriptor can be given");
	cr_expect_not(machine_config_has_kernel(c));
}

/* --- functions --- */

static void nothing(void *opaque, const void *data, size_t size)
{
}

Test(config_typed, output_of_the_serial_port)
{
	cr_expect_eq(lacuna_config_set_serial_output(config, NULL, c, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_serial_output(config, nothing, c, NULL), 0);
	cr_expect_eq(c->serial.kind, CHARDEV_FUNCTION);
	cr_expect(c->serial.sink.fn == nothing && c->serial.sink.opaque == c);
	expect_refused(lacuna_config_set_serial_output(config, nothing, c, &err), -EEXIST,
		"serial: given twice");
	cr_expect_eq(lacuna_config_set(config, "serial", "pty", NULL), -EEXIST);
	cr_expect_eq(c->serial.kind, CHARDEV_FUNCTION);
	cr_expect_eq(machine_config_check(c, NULL), 0);
}

Test(config_typed, output_of_console_ports)
{
	cr_assert_eq(lacuna_config_set(config, "console", "pty,name=a", NULL), 0);
	cr_expect_not(c->console_hvc);
	cr_assert_eq(lacuna_config_add_console_output(config, NULL, nothing, NULL, NULL), 0);
	cr_expect(c->console_hvc);
	cr_assert_eq(lacuna_config_add_console_output(config, "b,c", nothing, c, NULL), 0);
	cr_assert_eq(lacuna_config_set(config, "console", "file=x", NULL), 0);

	expect_refused(lacuna_config_add_console_output(config, NULL, nothing, NULL, &err), -EEXIST,
		"another function has the port without a name");
	static const char *const taken[] = { "a", "b,c" }, *const wrong[] = { "serial", "console" };
	for (unsigned i = 0; i < 2; i++) {
		expect_refused(lacuna_config_add_console_output(config, taken[i], nothing, c, &err),
			-EEXIST, "another port is called");
		expect_refused(lacuna_config_add_console_output(config, wrong[i], nothing, c, &err),
			-EINVAL, "is what lacuna_vm_input() calls another stream");
	}
	cr_expect_eq(lacuna_config_add_console_output(config, "d", NULL, c, NULL), -EINVAL);

	cr_assert(c->device_count == 1 && c->devices[0].more_count == 3);
	cr_expect_str_eq(c->devices[0].more[0], "");
	cr_expect_str_eq(c->devices[0].more[1], "name=b,,c");
	cr_assert_eq(c->output_count, 2u);
	cr_expect(c->outputs[0].port == 1 && !c->outputs[0].sink.opaque);
	cr_expect(c->outputs[1].port == 2 && c->outputs[1].sink.opaque == c);
}

Test(config_typed, first_port_is_a_functions)
{
	cr_assert_eq(lacuna_config_add_console_output(config, "a", nothing, NULL, NULL), 0);
	cr_assert_eq(c->output_count, 1u);
	cr_expect_eq(c->outputs[0].port, 0u);
	cr_expect_str_eq(c->devices[0].text, "name=a");
	cr_expect_not(c->console_hvc);
}

Test(config_typed, arguments_that_are_null)
{
	static const char *const words[] = { NULL };
	cr_expect_eq(lacuna_config_new(NULL, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_words(NULL, "rng", words, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_words(config, NULL, words, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_words(config, "rng", NULL, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_u64(NULL, "cpus", 1, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_u64(config, NULL, 1, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_bool(NULL, "hugepages", true, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_bool(config, NULL, true, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_fd(NULL, "kernel", 0, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_fd(config, NULL, 0, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set_serial_output(NULL, nothing, NULL, NULL), -EINVAL);
	cr_expect_eq(lacuna_config_add_console_output(NULL, NULL, nothing, NULL, NULL), -EINVAL);
}
