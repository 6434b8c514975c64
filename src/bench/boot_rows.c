// SPDX-License-Identifier: Apache-2.0
/* What all rounds of `lacuna bench boot` come to. */
#include "bench/boot_rows.h"

#include <math.h>
#include <string.h>

#include "bench/result.h"

static const char *const phase_keys[BOOT_PHASES] = { "process_us", "created_us", "first_us",
	"kernel_us", "pci_arch_init_us", "acpi_init_us", "pci_subsys_init_us", "init_us",
	"marker_us" };
static const char *const took_keys[BOOT_INITCALLS] = { "pci_arch_init", "acpi_init",
	"pci_subsys_init" };
static const char *const class_keys[BOOT_COUNTS] = {
	[BOOT_IO] = "io",
	[BOOT_MMIO] = "mmio",
	[BOOT_PCI] = "pci",
	[BOOT_SERIAL] = "serial",
	[BOOT_CMOS] = "cmos",
};
static const char *const config_keys[BOOT_COUNTS] = {
	[BOOT_PORT_READ] = "port_read",
	[BOOT_PORT_WRITE] = "port_write",
	[BOOT_WINDOW_READ] = "window_read",
	[BOOT_WINDOW_WRITE] = "window_write",
	[BOOT_ABSENT] = "absent",
};

void boot_measured_free(struct boot_measured *m)
{
	series_free(&m->marker);
	series_free(&m->end);
	series_free(&m->memory);
	for (size_t i = 0; i < BOOT_PHASES; i++)
		series_free(&m->phase[i]);
	for (size_t i = 0; i < BOOT_INITCALLS; i++)
		series_free(&m->took[i]);
	for (size_t i = 0; i < BOOT_COUNTS; i++)
		series_free(&m->count[i]);
	reason_rounds_free(&m->by_reason);
	reason_rounds_free(&m->exits);
}

void boot_add_times(struct boot_measured *m, const struct boot_times *at)
{
	series_add(&m->marker, at->marker);
	series_add(&m->end, at->end);
}

void boot_add_phases(struct boot_measured *m, const struct boot_result *r)
{
	const struct boot_times *at = &r->at;
	const double value[BOOT_PHASES] = { at->process, at->created, at->first, at->kernel,
		at->initcall[BOOT_PCI_ARCH_INIT], at->initcall[BOOT_ACPI_INIT],
		at->initcall[BOOT_PCI_SUBSYS_INIT], at->init, at->marker };
	for (size_t i = 0; i < BOOT_PHASES; i++)
		series_add(&m->phase[i], value[i]);
	for (size_t i = 0; i < BOOT_INITCALLS; i++)
		series_add(&m->took[i], r->took_us[i]);
}

void boot_add_counts(struct boot_measured *m, const struct boot_result *r, bool traced)
{
	bool own = m->monitor->own, usable = traced && !*r->not_counted.text;
	if (usable && own) {
		m->compared = true;
		m->differs |= !boot_counts_agree(&r->traced, &r->own);
	}
	if (traced)
		series_add(&m->memory, r->memory_kib);
	if (traced)
		m->not_counted = r->not_counted;
	if (usable)
		reason_rounds_add(&m->exits, &r->traced.exits);
	if (!own && !usable)
		return;
	const struct boot_counts *c = own ? &r->own : &r->traced;
	reason_rounds_add(&m->by_reason, &c->by_reason);
	const uint64_t value[BOOT_COUNTS] = {
		[BOOT_RETURNS] = c->returns,
		[BOOT_IO] = c->io,
		[BOOT_MMIO] = c->mmio,
		[BOOT_PCI] = boot_counts_pci(c),
		[BOOT_PORT_READ] = c->config_read,
		[BOOT_PORT_WRITE] = c->config_write,
		[BOOT_WINDOW_READ] = c->window_read,
		[BOOT_WINDOW_WRITE] = c->window_write,
		[BOOT_ABSENT] = c->absent,
		[BOOT_SERIAL] = c->serial,
		[BOOT_CMOS] = c->cmos,
	};
	for (size_t i = 0; i < BOOT_COUNTS; i++)
		series_add(&m->count[i], own || i != BOOT_ABSENT ? (double)value[i] : NAN);
}

/* --- rows --- */

static json_t *row_of(const char *part, const struct boot_measured *m)
{
	return json_pack("{s:s, s:s}", "part", part, "what", m->monitor->name);
}

/* Medians of counts, under their names. */
static json_t *counts(const struct boot_measured *m, const char *const keys[BOOT_COUNTS])
{
	json_t *o = json_object();
	for (size_t i = 0; i < BOOT_COUNTS; i++) {
		double v = series_median(&m->count[i]);
		if (keys[i])
			json_object_set_new(o, keys[i],
				isfinite(v) ? json_integer((json_int_t)(v + 0.5)) : json_null());
	}
	return o;
}

static void add_boot(
	json_t *document, const struct boot_measured *m, const struct boot_measured *lacuna)
{
	json_t *row = row_of("boot", m);
	if (m->failed) {
		result_add_unavailable(document, row, &m->why);
		return;
	}
	json_object_set_new(row, "marker_us", result_summary(&m->marker));
	json_object_set_new(row, "end_us", result_summary(&m->end));
	json_object_set_new(row, "memory_kib", result_summary(&m->memory));
	if (lacuna && lacuna != m && !lacuna->failed)
		json_object_set_new(row, "to_lacuna", result_ratio(&m->marker, &lacuna->marker));
	result_add(document, row);
}

static void add_returns(json_t *document, const struct boot_measured *m)
{
	json_t *row = row_of("returns", m);
	if (m->failed || !m->count[BOOT_RETURNS].count) {
		result_add_unavailable(document, row, m->failed ? &m->why : &m->not_counted);
		return;
	}
	json_object_set_new(
		row, "counted_by", json_string(m->monitor->own ? "statistics" : "tracepoints"));
	json_object_set_new(row, "returns", result_summary(&m->count[BOOT_RETURNS]));
	json_object_set_new(row, "by_reason", reason_rounds_json(&m->by_reason));
	json_object_set_new(row, "class", counts(m, class_keys));
	json_object_set_new(row, "pci_config", counts(m, config_keys));
	json_object_set_new(
		row, "tracepoints_agree", m->compared ? json_boolean(!m->differs) : json_null());
	result_add(document, row);
}

/* Which way they are counted is the same for all. */
static void add_exits(json_t *document, const struct boot_measured *m)
{
	json_t *row = row_of("exits", m);
	if (m->failed || !m->exits.count) {
		result_add_unavailable(document, row, m->failed ? &m->why : &m->not_counted);
		return;
	}
	struct series all = { 0 };
	for (size_t i = 0; i < m->exits.count; i++)
		series_add(&all, reasons_sum(&m->exits.round[i]));
	json_object_set_new(row, "exits", result_summary(&all));
	json_object_set_new(row, "by_reason", reason_rounds_json(&m->exits));
	series_free(&all);
	result_add(document, row);
}

/* Of other monitors only what their guests tell is known. */
static void add_phases(json_t *document, const struct boot_measured *m)
{
	bool any = false;
	for (size_t i = 0; i < BOOT_INITCALLS; i++)
		any |= isfinite(series_median(&m->took[i]));
	if (m->failed || (!m->monitor->own && !any))
		return;
	json_t *row = row_of("phases", m), *took = json_object();
	for (size_t i = 0; i < BOOT_PHASES; i++)
		json_object_set_new(row, phase_keys[i], result_summary(&m->phase[i]));
	for (size_t i = 0; i < BOOT_INITCALLS; i++)
		json_object_set_new(took, took_keys[i], result_number(series_median(&m->took[i])));
	json_object_set_new(row, "took_us", took);
	result_add(document, row);
}

static const struct boot_measured *find(
	const struct boot_measured *m, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(m[i].monitor->name, name))
			return &m[i];
	return NULL;
}

void boot_add_rows(json_t *document, const struct boot_measured *m, size_t count)
{
	const struct boot_measured *lacuna = find(m, count, "lacuna");
	for (size_t i = 0; i < count; i++)
		add_boot(document, &m[i], lacuna);
	for (size_t i = 0; i < count; i++)
		add_returns(document, &m[i]);
	for (size_t i = 0; i < count; i++)
		add_exits(document, &m[i]);
	for (size_t i = 0; i < count; i++)
		add_phases(document, &m[i]);
}

/* --- figures --- */

static void add_figure(json_t *document, const char *what, const struct boot_measured *lacuna,
	const struct boot_measured *rival, struct estimate found, double goal)
{
	char name[128];
	snprintf(name, sizeof(name), "%s, lacuna to %s", what, rival->monitor->name);
	if (lacuna->failed || rival->failed)
		found = estimate_exact(NAN);
	result_figure(document, name, found, "times", false, goal);
}

static struct estimate count_ratio(
	const struct boot_measured *a, const struct boot_measured *b, enum boot_count what)
{
	return estimate_exact(series_median(&a->count[what]) / series_median(&b->count[what]));
}

static void add_goals(json_t *document, const struct boot_measured *lacuna,
	const struct boot_measured *rival, double pci, double marker)
{
	if (!lacuna || !rival)
		return;
	add_figure(document, "returns for PCI", lacuna, rival, count_ratio(lacuna, rival, BOOT_PCI),
		pci);
	add_figure(document, "all returns", lacuna, rival, count_ratio(lacuna, rival, BOOT_RETURNS),
		1.0 / 16);
	add_figure(document, "time to the marker", lacuna, rival,
		series_ratio(&lacuna->marker, &rival->marker), marker);
}

void boot_add_figures(json_t *document, const struct boot_measured *m, size_t count)
{
	const struct boot_measured *lacuna = find(m, count, "lacuna");
	add_goals(document, lacuna, find(m, count, "qemu-q35"), 1.0 / 50, 0.8);
	add_goals(document, lacuna, find(m, count, "qemu-microvm"), 1.0 / 4, 0.6);
	add_goals(document, lacuna, find(m, count, "qemu-microvm-rtc"), 1.0 / 4, 0.6);
}

/* --- how they are shown --- */

const struct table boot_tables[] = {
	{ "boot", "Boots, from execve(2) on",
		(const struct column[]){
			{ "what", "", NULL, COLUMN_KEY, 0, 0 },
			{ "marker_us", "to the marker", "ms", COLUMN_TIME, 0, 1e-3 },
			{ "marker_us.min", "min", "ms", COLUMN_INFO, 0, 1e-3 },
			{ "marker_us.max", "max", "ms", COLUMN_INFO, 0, 1e-3 },
			{ "end_us", "to the end", "ms", COLUMN_TIME, 0, 1e-3 },
			{ "to_lacuna", "marker to lacuna's", "times", COLUMN_RATIO, 2, 0 },
			{ "memory_kib", "memory", "KiB", COLUMN_TIME, 0, 0 },
			{ 0 },
		} },
	{ "returns", "Returns of KVM to the monitor",
		(const struct column[]){
			{ "what", "", NULL, COLUMN_KEY, 0, 0 },
			{ "returns", "all", NULL, COLUMN_TIME, 0, 0 },
			{ "class.io", "ports", NULL, COLUMN_INFO, 0, 0 },
			{ "class.mmio", "MMIO", NULL, COLUMN_INFO, 0, 0 },
			{ "class.pci", "for PCI", NULL, COLUMN_COUNT, 0, 0 },
			{ "pci_config.port_read", "port reads", NULL, COLUMN_COUNT, 0, 0 },
			{ "pci_config.port_write", "writes", NULL, COLUMN_COUNT, 0, 0 },
			{ "pci_config.window_read", "window reads", NULL, COLUMN_COUNT, 0, 0 },
			{ "pci_config.window_write", "writes", NULL, COLUMN_COUNT, 0, 0 },
			{ "pci_config.absent", "absent", NULL, COLUMN_COUNT, 0, 0 },
			{ "class.serial", "serial", NULL, COLUMN_INFO, 0, 0 },
			{ "class.cmos", "CMOS", NULL, COLUMN_INFO, 0, 0 },
			{ "tracepoints_agree", "agrees", NULL, COLUMN_INFO, 0, 0 },
			{ "by_reason", "most frequent reasons", NULL, COLUMN_MOST, 0, 0 },
			{ 0 },
		} },
	{ "exits", "Exits of the guest to KVM, those included that KVM serves itself",
		(const struct column[]){
			{ "what", "", NULL, COLUMN_KEY, 0, 0 },
			{ "exits", "all", NULL, COLUMN_INFO, 0, 0 },
			{ "by_reason", "most frequent reasons", NULL, COLUMN_MOST, 0, 0 },
			{ 0 },
		} },
	{ "phases", "Phases, from execve(2) to the end of each; and how long PCI took the guest",
		(const struct column[]){
			{ "what", "", NULL, COLUMN_KEY, 0, 0 },
			{ "process_us", "process", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "created_us", "created", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "first_us", "guest", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "kernel_us", "kernel", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "pci_arch_init_us", "PCI arch", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "acpi_init_us", "ACPI", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "pci_subsys_init_us", "PCI", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "init_us", "/init", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "marker_us", "marker", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "took_us.pci_arch_init", "pci_arch_init", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "took_us.acpi_init", "acpi_init", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "took_us.pci_subsys_init", "pci_subsys_init", "ms", COLUMN_INFO, 1,
				1e-3 },
			{ 0 },
		} },
	{ 0 },
};
