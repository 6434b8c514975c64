// SPDX-License-Identifier: Apache-2.0
/* Charts of `lacuna bench boot`. */
#include "bench/boot_plot.h"

#include <string.h>

#include "bench/bench.h"
#include "bench/output.h"
#include "bench/plot.h"
#include "bench/result.h"

#define PARTS_MAX 8 /* gnuplot has so many colours */

/* The height of one part of a row's bar; 0: none of it is known. */
typedef double part_fn(const json_t *row, size_t part);

/* Whether a part, whose upper ends are @upper, is to be seen in any bar. */
static bool has_height(const struct plot_point *upper, const struct plot_point *lower, size_t bars)
{
	for (size_t i = 0; i < bars; i++)
		if (upper[i].y > (lower ? lower[i].y : 0))
			return true;
	return false;
}

/* Bars of parts upon each other, one for each row of @part; the parts are drawn from the uppermost
 * down, each over what of the bar is below its upper end. */
static int plot_stacks(const char *dir, const json_t *document, struct plot plot, const char *part,
	part_fn *height, const char *const *names, size_t parts)
{
	struct plot_point point[PARTS_MAX][LIST_MAX];
	struct plot_series series[PARTS_MAX] = { 0 };
	const struct table table = { .part = part };
	size_t bars = 0, i;
	json_t *row;
	json_array_foreach(json_object_get(document, "rows"), i, row)
	{
		double top = 0;
		if (!output_is_of(row, &table) || json_object_get(row, "not_available") ||
			bars == LIST_MAX)
			continue;
		for (size_t k = 0; k < parts; k++) {
			struct plot_point *p = &point[parts - 1 - k][bars];
			*p = (struct plot_point){ .y = top += height(row, k) };
			snprintf(p->label, sizeof(p->label), "%s",
				json_string_value(json_object_get(row, "what")));
		}
		bars++;
	}
	size_t drawn = 0;
	for (size_t k = 0; k < parts; k++)
		if (has_height(point[k], k + 1 < parts ? point[k + 1] : NULL, bars))
			series[drawn++] = (struct plot_series){
				.name = names[parts - 1 - k], .count = bars, .point = point[k]
			};
	plot.kind = PLOT_BARS;
	plot.stacked = true;
	plot.count = drawn;
	plot.series = series;
	return drawn ? plot_draw(dir, document, &plot) : STATUS_OK;
}

/* --- returns by class --- */

enum { PCI, SERIAL, CMOS, PORTS, MMIO, OTHER, CLASSES };

static double class_of(const json_t *row, size_t class)
{
	double ports = result_number_at(row, "pci_config.port_read") +
		       result_number_at(row, "pci_config.port_write");
	double window = result_number_at(row, "class.pci") - ports;
	double serial = result_number_at(row, "class.serial"),
	       cmos = result_number_at(row, "class.cmos");
	double io = result_number_at(row, "class.io"), mmio = result_number_at(row, "class.mmio");
	/* accesses, of which KVM may have gathered some */
	if (serial > io - ports)
		serial = io - ports;
	if (cmos > io - ports - serial)
		cmos = io - ports - serial;
	const double height[CLASSES] = {
		[PCI] = ports + window,
		[SERIAL] = serial,
		[CMOS] = cmos,
		[PORTS] = io - ports - serial - cmos,
		[MMIO] = mmio - window,
		[OTHER] = result_number_at(row, "returns.p50") - io - mmio,
	};
	return height[class] > 0 ? height[class] : 0;
}

/* --- phases --- */

static const char *const phase_paths[] = { "process_us.p50", "first_us.p50", "kernel_us.p50",
	"pci_arch_init_us.p50", "acpi_init_us.p50", "pci_subsys_init_us.p50", "init_us.p50",
	"marker_us.p50" };
#define PHASES (sizeof(phase_paths) / sizeof(phase_paths[0]))

/* From the end of the last phase that is known. */
static double phase_of(const json_t *row, size_t phase)
{
	double end = result_number_at(row, phase_paths[phase]), before = 0;
	for (size_t i = 0; i < phase; i++)
		if (before < result_number_at(row, phase_paths[i]))
			before = result_number_at(row, phase_paths[i]);
	return end > before ? (end - before) / 1e3 : 0;
}

int boot_plot(const char *dir, const json_t *document)
{
	static const char *const classes[CLASSES] = { "PCI configuration", "serial port", "CMOS",
		"other ports", "other MMIO", "other" };
	static const char *const phases[PHASES] = { "process", "to the first instruction",
		"to the kernel", "to pci_arch_init", "to acpi_init (root bus)",
		"to pci_subsys_init (further buses)", "to /init", "to the marker" };
	const struct plot returns = {
		.name = "boot-returns",
		.title = "Returns of KVM to the monitor in one boot",
		.x_label = "monitor",
		.y_label = "returns (medians)",
	};
	const struct plot phase = {
		.name = "boot-phases",
		.title = "From the start of the monitor to the guest's marker",
		.x_label = "monitor (of others than lacuna the phases are not known)",
		.y_label = "time, ms (medians)",
	};
	int status = plot_stacks(dir, document, returns, "returns", class_of, classes, CLASSES);
	if (status == STATUS_OK)
		status = plot_stacks(dir, document, phase, "phases", phase_of, phases, PHASES);
	return status;
}
