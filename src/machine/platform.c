// SPDX-License-Identifier: Apache-2.0
/* The devices every machine has: serial port, reset and power ports, ACPI events, exit code; and
 * how they end the machine. */
#include <abi/layout.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "backend/chardev.h"
#include "dev/exit.h"
#include "dev/ged.h"
#include "dev/reset.h"
#include "dev/serial.h"
#include "machine/private.h"
#include "util/err.h"
#include "util/fd.h"

/* How often coalesced writes are replayed while the guest waits for transmit interrupts. */
#define DRAIN_BUSY_US  5000
#define LAST_OUTPUT_MS 2000

static void guest_ended(void *opaque, enum end_kind kind, int code)
{
	static const enum lacuna_end_reason reasons[] = {
		[END_POWEROFF] = LACUNA_END_POWEROFF,
		[END_RESET] = LACUNA_END_RESET,
		[END_EXIT_CODE] = LACUNA_END_EXIT_CODE,
	};
	machine_end(opaque, reasons[kind], code, NULL);
}

/* --- port 0xCF9, which lies inside the PCI host's ports --- */

static uint64_t reset_read(void *opaque, uint64_t offset, unsigned size)
{
	struct machine *m = opaque;
	return reset_cf9_read(m->reset);
}

static void reset_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct machine *m = opaque;
	reset_cf9_write(m->reset, (uint8_t)value);
}

static const struct region_ops reset_ops = { .read = reset_read, .write = reset_write };

void platform_reset_port(struct machine *m, const struct region_ops **ret_ops, void **ret_opaque)
{
	*ret_ops = &reset_ops;
	*ret_opaque = m;
}

/* --- the console --- */

static void console_output(void *opaque, const void *data, size_t len)
{
	struct machine *m = opaque;
	if (m->marker && atomic_load(&m->marker_us) == LACUNA_TIME_NEVER &&
		match_feed(m->marker, data, len))
		atomic_store(&m->marker_us, machine_now_us(m));
}

static void console_escape(void *opaque)
{
	machine_end(opaque, LACUNA_END_STOPPED, 0, NULL);
}

static void console_failure(void *opaque, const char *message)
{
	machine_end(opaque, LACUNA_END_FAILED, 0, message);
}

static void tx_interrupts(void *opaque, bool wanted)
{
	struct machine *m = opaque;
	uint64_t period = wanted ? DRAIN_BUSY_US : DRAIN_IDLE_US;
	loop_arm(m->drain_timer, period, period);
}

static int make_console(
	struct machine *m, const struct machine_config *config, struct lacuna_error **err)
{
	struct chardev_params params = {
		.loop = m->loop,
		.name = "serial",
		.in_fd = -1,
		.out_fd = -1,
		.on_output = console_output,
		.on_escape = console_escape,
		.on_failure = console_failure,
		.opaque = m,
	};
	switch (config->serial.kind) {
	case MACHINE_SERIAL_OFF:
		return 0;
	case MACHINE_SERIAL_STDIO:
		params.in_fd = STDIN_FILENO;
		params.out_fd = STDOUT_FILENO;
		params.out_name = "stdout";
		params.escape = isatty(STDIN_FILENO);
		break;
	case MACHINE_SERIAL_FILE:
		params.path = config->serial.path;
		break;
	case MACHINE_SERIAL_FD:
		params.in_fd = config->serial.in;
		params.out_fd = config->serial.out;
		params.out_name = "its descriptor";
		break;
	}
	int rc = chardev_new(&params, &m->console, err);
	if (rc < 0)
		return rc;
	m->serial_irq.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->serial_irq.fd < 0)
		return err_errno(err, "serial: eventfd");
	struct serial_params serial = {
		.pio = &m->pio,
		.base = LAYOUT_PORT_SERIAL,
		.irq = &m->serial_irq,
		.chardev = m->console,
		.loop = m->loop,
		.coalesced = m->vm.coalesced_pio,
		.tx_interrupts = m->vm.coalesced_pio ? tx_interrupts : NULL,
		.opaque = m,
	};
	return serial_new(&serial, &m->serial, err);
}

/* --- life --- */

int platform_new(struct machine *m, const struct machine_config *config, struct lacuna_error **err)
{
	const struct end_sink end = { .end = guest_ended, .opaque = m };
	int rc = 0;
	if (config->marker)
		rc = match_new(config->marker, &m->marker, err);
	if (rc == 0)
		rc = make_console(m, config, err);
	if (rc == 0)
		rc = reset_new(&m->pio, &end, &m->reset, err);
	if (rc == 0)
		rc = exit_port_new(&m->pio, &end, &m->exit_port, err);
	if (rc < 0)
		return rc;
	m->ged_irq.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->ged_irq.fd < 0)
		return err_errno(err, "eventfd");
	return ged_new(&m->pio, &m->ged_irq, &m->ged, err);
}

int platform_connect(struct machine *m, struct lacuna_error **err)
{
	/* KVM's default routes lead to its 8259 as well. The MADT tells of none, so nobody sets it
	 * up, and what came in there would be delivered as an exception. */
	int rc = kvm_vm_set_routes(&m->vm, NULL, 0, err);
	if (rc == 0)
		rc = kvm_vm_irqfd(&m->vm, LAYOUT_GSI_GED, m->ged_irq.fd, true, err);
	if (rc == 0 && m->serial)
		rc = kvm_vm_irqfd(&m->vm, LAYOUT_GSI_SERIAL, m->serial_irq.fd, true, err);
	if (rc == 0 && m->serial && m->vm.coalesced_pio)
		rc = kvm_vm_coalesce(&m->vm, LAYOUT_PORT_SERIAL, 1, true, err);
	return rc;
}

void platform_stop(struct machine *m)
{
	struct lacuna_error *err = NULL;
	int rc = m->console ? chardev_flush(m->console, LAST_OUTPUT_MS, &err) : 0;
	if (rc == -ETIMEDOUT) /* nobody reads; that is no failure of ours */
		log_warning(&m->log, "serial", "the last output is lost: %s",
			lacuna_error_message(err));
	else if (rc < 0)
		machine_output_lost(m, lacuna_error_message(err));
	lacuna_error_free(err);
}

void platform_free(struct machine *m)
{
	serial_free(m->serial);
	chardev_free(m->console);
	reset_free(m->reset);
	exit_port_free(m->exit_port);
	ged_free(m->ged);
	match_free(m->marker);
	fd_close(&m->serial_irq.fd);
	fd_close(&m->ged_irq.fd);
}
