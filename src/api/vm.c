// SPDX-License-Identifier: Apache-2.0
/* The public calls on a VM: arguments are checked here, the rest is src/machine. */
#include <lacuna/vm.h>
#include <string.h>

#include "api/config.h"
#include "machine/machine.h"
#include "util/bytes.h"
#include "util/err.h"

/* A VM is a machine; the public name says nothing about what is inside. */
static struct machine *of(const struct lacuna_vm *vm)
{
	return (struct machine *)(uintptr_t)vm;
}

static int is_null(const char *function, struct lacuna_error **err)
{
	return err_set(err, EINVAL, "%s: an argument is NULL", function);
}

LACUNA_API int lacuna_vm_new(
	const struct lacuna_config *config, struct lacuna_vm **ret, struct lacuna_error **err)
{
	struct machine *m;
	if (!config || !ret)
		return is_null(__func__, err);
	int rc = machine_new(&config->machine, &m, err);
	if (rc == 0)
		*ret = (struct lacuna_vm *)(void *)m;
	return rc;
}

LACUNA_API struct lacuna_vm *lacuna_vm_ref(struct lacuna_vm *vm)
{
	machine_ref(of(vm));
	return vm;
}

LACUNA_API void lacuna_vm_free(struct lacuna_vm *vm)
{
	machine_unref(of(vm));
}

LACUNA_API int lacuna_vm_start(struct lacuna_vm *vm, struct lacuna_error **err)
{
	return vm ? machine_start(of(vm), err) : is_null(__func__, err);
}

LACUNA_API int lacuna_vm_pause(struct lacuna_vm *vm, struct lacuna_error **err)
{
	return vm ? machine_pause(of(vm), err) : is_null(__func__, err);
}

LACUNA_API int lacuna_vm_resume(struct lacuna_vm *vm, struct lacuna_error **err)
{
	return vm ? machine_resume(of(vm), err) : is_null(__func__, err);
}

LACUNA_API enum lacuna_vm_state lacuna_vm_state(const struct lacuna_vm *vm)
{
	return machine_state(of(vm));
}

LACUNA_API int lacuna_vm_wait(struct lacuna_vm *vm, enum lacuna_end_reason *ret_reason,
	int *ret_code, struct lacuna_error **err)
{
	return vm ? machine_wait(of(vm), ret_reason, ret_code, err) : is_null(__func__, err);
}

LACUNA_API int lacuna_vm_end_fd(const struct lacuna_vm *vm)
{
	return machine_end_fd(of(vm));
}

LACUNA_API const char *lacuna_vm_end_message(const struct lacuna_vm *vm)
{
	return machine_end_message(of(vm));
}

LACUNA_API void lacuna_vm_stop(struct lacuna_vm *vm)
{
	if (vm)
		machine_end(of(vm), LACUNA_END_STOPPED, 0, NULL);
}

LACUNA_API int lacuna_vm_power_button(struct lacuna_vm *vm, struct lacuna_error **err)
{
	return vm ? machine_power_button(of(vm), err) : is_null(__func__, err);
}

LACUNA_API int lacuna_vm_set_deadline(struct lacuna_vm *vm, uint64_t us, struct lacuna_error **err)
{
	return vm ? machine_set_deadline(of(vm), us, err) : is_null(__func__, err);
}

LACUNA_API int lacuna_vm_read_memory(
	const struct lacuna_vm *vm, uint64_t gpa, void *buf, size_t size, struct lacuna_error **err)
{
	if (!vm || (!buf && size))
		return is_null(__func__, err);
	return machine_read_memory(of(vm), gpa, buf, size, err);
}

LACUNA_API int lacuna_vm_write_memory(
	struct lacuna_vm *vm, uint64_t gpa, const void *buf, size_t size, struct lacuna_error **err)
{
	if (!vm || (!buf && size))
		return is_null(__func__, err);
	return machine_write_memory(of(vm), gpa, buf, size, err);
}

LACUNA_API int lacuna_vm_input(struct lacuna_vm *vm, const char *stream, const void *data,
	size_t size, size_t *ret_taken, struct lacuna_error **err)
{
	if (!vm || !stream || (!data && size) || !ret_taken)
		return is_null(__func__, err);
	return machine_input(of(vm), stream, data, size, ret_taken, err);
}

LACUNA_API int lacuna_vm_device_set(
	struct lacuna_vm *vm, const char *device, const char *properties, struct lacuna_error **err)
{
	if (!vm || !device || !properties)
		return is_null(__func__, err);
	return machine_device_set(of(vm), device, properties, err);
}

LACUNA_API int lacuna_vm_device_get(struct lacuna_vm *vm, const char *device,
	void (*fn)(void *opaque, const char *device, const char *key, const char *value),
	void *opaque, struct lacuna_error **err)
{
	if (!vm || !fn)
		return is_null(__func__, err);
	return machine_device_get(of(vm), device, fn, opaque, err);
}

LACUNA_API void lacuna_vm_stats(const struct lacuna_vm *vm, struct lacuna_stats *stats)
{
	struct lacuna_stats all;
	machine_stats(of(vm), &all);
	/* A caller built against another version has another size: it gets the fields both know,
	 * and zeros in those that it alone knows. */
	size_t caller = stats->size, size = min_u64(caller, sizeof(all));
	all.size = caller;
	memcpy(stats, &all, size);
	memset((uint8_t *)stats + size, 0, caller - size);
}

LACUNA_API int lacuna_vm_kvm_stats(const struct lacuna_vm *vm,
	void (*fn)(void *opaque, const char *name, uint64_t value), void *opaque,
	struct lacuna_error **err)
{
	if (!vm || !fn)
		return is_null(__func__, err);
	return machine_kvm_stats(of(vm), fn, opaque, err);
}

LACUNA_API int lacuna_vm_dump(struct lacuna_vm *vm, const char *what,
	int (*fn)(void *opaque, const char *name, const void *data, size_t size), void *opaque,
	struct lacuna_error **err)
{
	if (!vm || !what || !fn)
		return is_null(__func__, err);
	return machine_dump(of(vm), what, fn, opaque, err);
}
