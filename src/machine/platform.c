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
#define DRAIN_BUSY_US 5000

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

/* Each stream has a matcher of its own; the first that finds the marker tells the time. */
static void look_for_marker(struct machine *m, struct match *marker, const void *data, size_t len)
{
	uint64_t never = LACUNA_TIME_NEVER;
	if (marker && atomic_load(&m->marker_us) == never && match_feed(marker, data, len))
		atomic_compare_exchange_strong(&m->marker_us, &never, machine_now_us(m));
}

static void serial_output(void *opaque, const void *data, size_t len)
{
	struct machine *m = opaque;
	look_for_marker(m, m->serial_marker, data, len);
}

static void console_output(void *opaque, const void *data, size_t len)
{
	struct machine *m = opaque;
	look_for_marker(m, m->console_marker, data, len);
}

static void console_escape(void *opaque)
{
	machine_end(opaque, LACUNA_END_STOPPED, 0, NULL);
}

static void console_failure(void *opaque, const char *message)
{
	machine_output_lost(opaque, message);
}

struct chardev_params platform_chardev(struct machine *m)
{
	return (struct chardev_params){
		.loop = m->loop,
		.on_output = console_output,
		.on_escape = console_escape,
		.on_failure = console_failure,
		.opaque = m,
	};
}

static void tx_interrupts(void *opaque, bool wanted)
{
	struct machine *m = opaque;
	uint64_t period = wanted ? DRAIN_BUSY_US : DRAIN_IDLE_US;
	loop_arm(m->drain_timer, period, period);
}

static int make_serial(
	struct machine *m, const struct machine_config *config, struct lacuna_error **err)
{
	struct chardev_params params = platform_chardev(m);
	if (config->serial.kind == CHARDEV_OFF)
		return 0;
	params.name = "serial";
	params.retain = true;
	params.on_output = serial_output;
	chardev_end_apply(&config->serial, &params);
	int rc = chardev_new(&params, &m->serial_chardev, err);
	if (rc < 0)
		return rc;
	if (params.pty)
		log_info(&m->log, "serial", "the serial port is at %s",
			chardev_path(m->serial_chardev));
	m->serial_irq.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->serial_irq.fd < 0)
		return err_errno(err, "serial: eventfd");
	struct serial_params serial = {
		.pio = &m->pio,
		.base = LAYOUT_PORT_SERIAL,
		.irq = &m->serial_irq,
		.chardev = m->serial_chardev,
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
		rc = match_new(config->marker, &m->serial_marker, err);
	if (rc == 0 && config->marker)
		rc = match_new(config->marker, &m->console_marker, err);
	if (rc == 0)
		rc = make_serial(m, config, err);
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
	/* KVM's default routes, GSI n to pin n of the IOAPIC, lead to its 8259s as well. The MADT
	 * tells of none, so nobody sets them up, and what came in there would be delivered as an
	 * exception. Routes without them would do, too, but their replacement is waited for (see
	 * machine.c); the first MSI route brings them. */
	int rc = kvm_vm_mask_8259(&m->vm, err);
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
	if (m->serial_chardev)
		chardev_finish(m->serial_chardev, chardev_last_output(), &m->log);
}

void platform_free(struct machine *m)
{
	serial_free(m->serial);
	chardev_free(m->serial_chardev);
	reset_free(m->reset);
	exit_port_free(m->exit_port);
	ged_free(m->ged);
	match_free(m->serial_marker);
	match_free(m->console_marker);
	fd_close(&m->serial_irq.fd);
	fd_close(&m->ged_irq.fd);
}
