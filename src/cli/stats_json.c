// SPDX-License-Identifier: Apache-2.0
/* The statistics of a machine as JSON. */
#include "cli/stats_json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/outfile.h"

static struct outfile file = OUTFILE_INIT("stats-file");

int stats_file_open(const char *path)
{
	return outfile_open(&file, path);
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *moment(uint64_t us)
{
	return us == LACUNA_TIME_NEVER ? json_null() : number(us);
}

/* Reasons without a name of their own share "other". */
static json_t *by_reason(const struct lacuna_stats *s)
{
	json_t *o = json_object();
	for (unsigned i = 0; i < LACUNA_EXIT_REASONS; i++) {
		const char *name = lacuna_exit_reason_name(i);
		json_int_t sum = json_integer_value(json_object_get(o, name));
		if (s->exits_by_reason[i])
			json_object_set_new(o, name, number((uint64_t)sum + s->exits_by_reason[i]));
	}
	return o;
}

static void add_counter(void *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, number(value));
}

static json_t *kvm_counters(const struct lacuna_vm *vm)
{
	json_t *o = json_object();
	if (lacuna_vm_kvm_stats(vm, add_counter, o, NULL) == 0)
		return o;
	json_decref(o);
	return json_null();
}

json_t *stats_json(const struct lacuna_vm *vm)
{
	struct lacuna_stats s = { .size = sizeof(s) };
	lacuna_vm_stats(vm, &s);
	json_t *machine = json_pack("{s:o, s:o, s:{s:s, s:s, s:b, s:o, s:o}}", "vcpus",
		number(s.vcpus), "memory_bytes", number(s.memory_bytes), "pci", "config",
		s.pci_config, "window", s.pci_window, "large_pages", (int)s.pci_large_pages,
		"buses", number(s.pci_buses), "functions", number(s.pci_functions));
	json_t *time = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "origin", number(s.origin_us),
		"created", moment(s.created_us), "started", moment(s.started_us), "first_entry",
		moment(s.first_entry_us), "marker", moment(s.marker_us), "end", moment(s.end_us));
	json_t *config = json_pack("{s:o, s:o, s:o, s:o, s:o}", "type1_read", number(s.type1_read),
		"type1_write", number(s.type1_write), "ecam_read", number(s.ecam_read),
		"ecam_write", number(s.ecam_write), "absent", number(s.absent));
	json_t *exits = json_pack("{s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o}, s:{s:o, s:o}}", "total",
		number(s.exits_total), "by_reason", by_reason(&s), "pci_config", config, "pio",
		"serial", number(s.pio_serial), "cmos", number(s.pio_cmos), "reset",
		number(s.pio_reset), "other", number(s.pio_other), "mmio", "bar",
		number(s.mmio_bar), "other", number(s.mmio_other));
	return json_pack("{s:s, s:o, s:o, s:o, s:{s:o, s:o}, s:o, s:{s:s, s:i}}", "lacuna",
		lacuna_version(), "machine", machine, "time_us", time, "exits", exits, "coalesced",
		"pio", number(s.coalesced_pio), "mmio", number(s.coalesced_mmio), "kvm",
		kvm_counters(vm), "end", "reason", lacuna_end_reason_name(s.end_reason), "code",
		s.end_code);
}

int stats_file_write(const struct lacuna_vm *vm)
{
	if (file.fd < 0)
		return STATUS_OK;
	json_t *object = stats_json(vm);
	char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
	json_decref(object);
	char *line = NULL;
	int size = text ? asprintf(&line, "%s\n", text) : -1;
	free(text);
	if (size < 0)
		return fail("stats-file: out of memory");
	int status = outfile_write(&file, line, (size_t)size);
	free(line);
	return status;
}

void stats_file_discard(void)
{
	outfile_discard(&file);
}
