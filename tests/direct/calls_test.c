// SPDX-License-Identifier: Apache-2.0
/* Every way in which a call on a VM is refused, before it runs, while it does, and afterwards: the
 * documented code, a sentence that names what is at fault, and the same without an error object. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "errors.h"
#include "harness.h"

TestSuite(calls, .init = errors_make_files, .timeout = TEST_TIMEOUT);

/* --- calls --- */

static void on_property(void *opaque, const char *device, const char *key, const char *value)
{
}

static int on_file(void *opaque, const char *name, const void *data, size_t size)
{
	return 0;
}

static int dump_fails(void *opaque, const char *name, const void *data, size_t size)
{
	return -EXDEV;
}

static void on_counter(void *opaque, const char *name, uint64_t value)
{
}

#define CALL(name, call)                                                 \
	static int name(struct lacuna_vm *vm, struct lacuna_error **err) \
	{                                                                \
		uint8_t buf[16] = { 0 };                                 \
		size_t taken = 0;                                        \
		(void)buf;                                               \
		(void)taken;                                             \
		return call;                                             \
	}

CALL(start, lacuna_vm_start(vm, err))
CALL(pause_vm, lacuna_vm_pause(vm, err))
CALL(resume, lacuna_vm_resume(vm, err))
CALL(wait_end, lacuna_vm_wait(vm, NULL, NULL, err))
CALL(power_button, lacuna_vm_power_button(vm, err))
CALL(deadline, lacuna_vm_set_deadline(vm, 3600000000, err))
CALL(get, lacuna_vm_device_get(vm, NULL, on_property, NULL, err))
CALL(get_balloon, lacuna_vm_device_get(vm, "balloon0", on_property, NULL, err))
CALL(get_unknown, lacuna_vm_device_get(vm, "balloon1", on_property, NULL, err))
CALL(get_to_null, lacuna_vm_device_get(vm, NULL, NULL, NULL, err))
CALL(set_balloon, lacuna_vm_device_set(vm, "balloon0", "size=1M", err))
CALL(set_disk, lacuna_vm_device_set(vm, "disk0", "size=1M", err))
CALL(set_unknown, lacuna_vm_device_set(vm, "disk7", "size=1M", err))
CALL(set_nothing, lacuna_vm_device_set(vm, "balloon0", "", err))
CALL(set_null, lacuna_vm_device_set(vm, "balloon0", NULL, err))
CALL(set_null_device, lacuna_vm_device_set(vm, NULL, "size=1M", err))
CALL(set_unsettable, lacuna_vm_device_set(vm, "rng0", "size=1M", err))
CALL(set_unknown_key, lacuna_vm_device_set(vm, "balloon0", "colour=red", err))
CALL(set_without_value, lacuna_vm_device_set(vm, "balloon0", "size", err))
CALL(set_twice, lacuna_vm_device_set(vm, "balloon0", "size=1M,size=2M", err))
CALL(set_bad_size, lacuna_vm_device_set(vm, "balloon0", "size=lots", err))
CALL(set_odd_size, lacuna_vm_device_set(vm, "balloon0", "size=5000", err))
CALL(set_too_much, lacuna_vm_device_set(vm, "balloon0", "size=1T", err))
CALL(set_smaller_disk, lacuna_vm_device_set(vm, "disk0", "size=4K", err))
CALL(set_odd_disk, lacuna_vm_device_set(vm, "disk0", "size=1048577", err))
CALL(set_bad_window, lacuna_vm_device_set(vm, "console0", "size=80", err))
CALL(set_bad_port, lacuna_vm_device_set(vm, "console0", "size=80x25,port=9", err))
CALL(read_outside, lacuna_vm_read_memory(vm, 64 << 20, buf, 1, err))
CALL(read_across, lacuna_vm_read_memory(vm, (64 << 20) - 8, buf, 16, err))
CALL(read_wrapping, lacuna_vm_read_memory(vm, UINT64_MAX - 4, buf, 16, err))
CALL(read_to_null, lacuna_vm_read_memory(vm, 0, NULL, 16, err))
CALL(read_of_nothing, lacuna_vm_read_memory(vm, 0, NULL, 0, err))
CALL(write_outside, lacuna_vm_write_memory(vm, 0xe0000000, buf, 4, err))
CALL(write_of_null, lacuna_vm_write_memory(vm, 0, NULL, 4, err))
CALL(input, lacuna_vm_input(vm, "stream", "hello", 5, &taken, err))
CALL(input_of_nothing, lacuna_vm_input(vm, "stream", NULL, 0, &taken, err))
CALL(input_of_null, lacuna_vm_input(vm, "stream", NULL, 1, &taken, err))
CALL(input_to_null, lacuna_vm_input(vm, NULL, "hello", 5, &taken, err))
CALL(input_without_count, lacuna_vm_input(vm, "stream", "hello", 5, NULL, err))
CALL(input_to_unknown, lacuna_vm_input(vm, "second", "hello", 5, &taken, err))
CALL(input_to_descriptor, lacuna_vm_input(vm, "serial", "hello", 5, &taken, err))
CALL(dump_unknown, lacuna_vm_dump(vm, "smbios", on_file, NULL, err))
CALL(dump_of_null, lacuna_vm_dump(vm, NULL, on_file, NULL, err))
CALL(dump_to_null, lacuna_vm_dump(vm, "acpi", NULL, NULL, err))
CALL(dump_pci, lacuna_vm_dump(vm, "pci", on_file, NULL, err))

struct call {
	const char *name;
	int (*call)(struct lacuna_vm *vm, struct lacuna_error **err);
	int code; /* 0: it succeeds */
	const char *mentions;
};

#define ROW(name, ...)                   \
	{                                \
#name, name, __VA_ARGS__ \
	}

static void check(struct lacuna_vm *vm, const struct call *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct lacuna_error *err = NULL;
		int rc = rows[i].call(vm, &err);
		errors_check(rows[i].name, rc, err, rows[i].code, rows[i].mentions);
		cr_expect_eq(rows[i].call(vm, NULL), -rows[i].code, "%s without an object",
			rows[i].name);
	}
}

#define CHECK(vm, rows) check(vm, rows, sizeof(rows) / sizeof((rows)[0]))

/* What is refused at any time, and what never is. */
static void check_always(struct lacuna_vm *vm)
{
	static const struct call rows[] = {
		ROW(get_unknown, ENODEV, "'balloon1'"),
		ROW(get_to_null, EINVAL, "lacuna_vm_device_get"),
		ROW(set_unknown, ENODEV, "'disk7'"),
		ROW(set_unsettable, EINVAL, "rng0"),
		ROW(set_null, EINVAL, "lacuna_vm_device_set"),
		ROW(set_null_device, EINVAL, "lacuna_vm_device_set"),
		ROW(read_outside, EFAULT, "0x4000000"),
		ROW(read_across, EFAULT, "16 bytes at guest address 0x3fffff8"),
		ROW(read_wrapping, EFAULT, "0xfffffffffffffffb"),
		ROW(read_to_null, EINVAL, "lacuna_vm_read_memory"),
		ROW(read_of_nothing, 0, ""),
		ROW(write_outside, EFAULT, "0xe0000000"),
		ROW(write_of_null, EINVAL, "lacuna_vm_write_memory"),
		ROW(input_of_null, EINVAL, "lacuna_vm_input"),
		ROW(input_to_null, EINVAL, "lacuna_vm_input"),
		ROW(input_without_count, EINVAL, "lacuna_vm_input"),
		ROW(input_to_unknown, ENODEV, "'second'"),
		ROW(input_to_descriptor, ENODEV, "'serial'"),
		ROW(dump_unknown, EINVAL, "'smbios'"),
		ROW(dump_of_null, EINVAL, "lacuna_vm_dump"),
		ROW(dump_to_null, EINVAL, "lacuna_vm_dump"),
		ROW(dump_pci, 0, ""),
	};
	CHECK(vm, rows);
	/* what the caller's own function returns is passed on, and it has said why already */
	static const char *const dumps[] = { "acpi", "fdt", "e820", "cmdline", "pci" };
	for (size_t i = 0; i < sizeof(dumps) / sizeof(dumps[0]); i++) {
		struct lacuna_error *err = NULL;
		cr_expect_eq(lacuna_vm_dump(vm, dumps[i], dump_fails, NULL, &err), -EXDEV);
		cr_expect_null(err);
	}
	cr_expect_eq(lacuna_vm_kvm_stats(vm, NULL, NULL, NULL), -EINVAL);
	int rc = lacuna_vm_kvm_stats(vm, on_counter, NULL, NULL);
	cr_expect(rc == 0 || rc == -ENOTSUP);
}

static const struct call not_running[] = {
	ROW(pause_vm, ESRCH, "does not run"),
	ROW(resume, ESRCH, "does not run"),
	ROW(power_button, ESRCH, "does not run"),
	ROW(get, ESRCH, "does not run"),
	ROW(get_balloon, ESRCH, "does not run"),
	ROW(set_balloon, ESRCH, "does not run"),
};

static struct lacuna_vm *make(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	char *disk = errors_expand("@/disk");
	cr_assert_geq(fd, 0);
	struct lacuna_vm *vm = guest_new(
		&(struct guest){
			.image = "endings",
			.cmdline = "test=hang",
			.memory = "64M",
			.disk = disk,
			.balloon = "size=4M",
			.console = true,
			.stream = true,
			.rng = 1,
		},
		fd, fd);
	free(disk);
	close(fd);
	return vm;
}

Test(calls, before_it_runs)
{
	need_kvm();
	static const struct call rows[] = {
		ROW(wait_end, EINVAL, "has not been started"),
		ROW(deadline, 0, ""),
		ROW(input, 0, ""),
		ROW(input_of_nothing, 0, ""),
	};
	struct lacuna_vm *vm = make();
	check_always(vm);
	CHECK(vm, not_running);
	CHECK(vm, rows);
	lacuna_vm_free(vm);
}

static const struct call running[] = {
	ROW(start, EALREADY, "started before"),
	ROW(get, 0, ""),
	ROW(get_balloon, 0, ""),
	ROW(set_balloon, 0, ""),
	ROW(set_disk, 0, ""),
	ROW(set_nothing, EINVAL, "balloon0: nothing to set"),
	ROW(set_unknown_key, EINVAL, "balloon0: unknown key 'colour'"),
	ROW(set_without_value, EINVAL, "balloon0: 'size'"),
	ROW(set_twice, EINVAL, "balloon0: key 'size'"),
	ROW(set_bad_size, EINVAL, "balloon0: size: 'lots'"),
	ROW(set_odd_size, EINVAL, "balloon0: size: 5000"),
	ROW(set_too_much, ERANGE, "balloon0: size: 1T"),
	ROW(set_smaller_disk, EINVAL, "disk0: '@/disk'"),
	ROW(set_odd_disk, EINVAL, "disk0: size 1048577"),
	ROW(set_bad_window, EINVAL, "console0: size"),
	ROW(set_bad_port, ERANGE, "console0: port: 9"),
	ROW(power_button, 0, ""),
	ROW(deadline, 0, ""),
	ROW(input, 0, ""),
};

Test(calls, while_it_runs)
{
	need_kvm();
	static const struct call pausing[] = { ROW(pause_vm, 0, "") };
	struct lacuna_vm *vm = make();
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	check_always(vm);
	CHECK(vm, running);
	CHECK(vm, pausing);
	check_always(vm);
	CHECK(vm, running); /* all of it can be had of a paused one, too */
	cr_expect_eq(lacuna_vm_state(vm), LACUNA_VM_PAUSED);
	lacuna_vm_free(vm);
}

Test(calls, after_its_end)
{
	need_kvm();
	static const struct call rows[] = {
		ROW(start, EALREADY, "started before"),
		ROW(deadline, ESRCH, "has ended"),
		ROW(input, ESRCH, "has ended"),
		ROW(wait_end, 0, ""),
	};
	struct lacuna_vm *vm = make();
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	lacuna_vm_stop(vm);
	cr_assert_eq(lacuna_vm_wait(vm, NULL, NULL, NULL), 0);
	check_always(vm);
	CHECK(vm, not_running);
	CHECK(vm, rows);
	lacuna_vm_free(vm);
}

Test(calls, stopped_before_it_ran)
{
	need_kvm();
	static const struct call rows[] = {
		ROW(start, ECANCELED, "stopped before it was started"),
		ROW(deadline, ESRCH, "has ended"),
		ROW(input, ESRCH, "has ended"),
		ROW(wait_end, 0, ""),
	};
	struct lacuna_vm *vm = make();
	lacuna_vm_stop(vm);
	check_always(vm);
	CHECK(vm, not_running);
	CHECK(vm, rows);
	lacuna_vm_free(vm);
}

/* --- without a VM --- */

Test(calls, of_nothing)
{
	static const struct call rows[] = {
		ROW(start, EINVAL, "lacuna_vm_start"),
		ROW(pause_vm, EINVAL, "lacuna_vm_pause"),
		ROW(resume, EINVAL, "lacuna_vm_resume"),
		ROW(wait_end, EINVAL, "lacuna_vm_wait"),
		ROW(power_button, EINVAL, "lacuna_vm_power_button"),
		ROW(deadline, EINVAL, "lacuna_vm_set_deadline"),
		ROW(get, EINVAL, "lacuna_vm_device_get"),
		ROW(set_balloon, EINVAL, "lacuna_vm_device_set"),
		ROW(read_outside, EINVAL, "lacuna_vm_read_memory"),
		ROW(write_outside, EINVAL, "lacuna_vm_write_memory"),
		ROW(input, EINVAL, "lacuna_vm_input"),
		ROW(dump_pci, EINVAL, "lacuna_vm_dump"),
	};
	CHECK(NULL, rows);
	struct lacuna_error *err = NULL;
	cr_expect_eq(lacuna_vm_kvm_stats(NULL, on_counter, NULL, &err), -EINVAL);
	cr_expect(strstr(lacuna_error_message(err), "lacuna_vm_kvm_stats"));
	lacuna_error_free(err);
	lacuna_vm_stop(NULL);
	cr_expect_str_eq(lacuna_error_message(NULL), "no error");
	cr_expect_eq(lacuna_error_code(NULL), 0);
	lacuna_error_free(NULL);
	lacuna_config_free(NULL);
	lacuna_vm_free(NULL);
}

Test(calls, with_null)
{
	struct lacuna_error *err = NULL;
	struct lacuna_config *config;
	struct lacuna_vm *vm;
	cr_expect_eq(lacuna_config_new(NULL, NULL), -EINVAL);
	int rc = lacuna_config_new(NULL, &err);
	errors_check("config_new", rc, err, EINVAL, "lacuna_config_new");
	cr_assert_eq(lacuna_config_new(&config, NULL), 0);

	err = NULL;
	rc = lacuna_vm_new(NULL, &vm, &err);
	errors_check("vm_new", rc, err, EINVAL, "lacuna_vm_new");
	err = NULL;
	rc = lacuna_vm_new(config, NULL, &err);
	errors_check("vm_new", rc, err, EINVAL, "lacuna_vm_new");
	err = NULL;
	rc = lacuna_host_check(NULL, NULL, &err);
	errors_check("host_check", rc, err, EINVAL, "lacuna_host_check");
	lacuna_config_free(config);
}
