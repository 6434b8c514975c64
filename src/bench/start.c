// SPDX-License-Identifier: Apache-2.0
/* `lacuna bench start`: from the start to the guest's first instruction. */
#include <string.h>

#include "bench/bench.h"
#include "bench/result.h"

static struct {
	uint64_t count;
} asked = { .count = 50 };

static const struct opt opts[] = {
	{ "count", "N", "50", .help = "starts of each kind, in turns" },
	{ 0 },
};

static int set(const char *name, const char *value)
{
	return option_number(name, value, 1, 100000, &asked.count);
}

static const struct table tables[] = {
	{ "start", "From start to the first guest instruction",
		(const struct column[]){
			{ "what", "", NULL, COLUMN_KEY, 0, 0 },
			{ "us", "p50", "ms", COLUMN_TIME, 2, 1e-3 },
			{ "us.p90", "p90", "ms", COLUMN_INFO, 2, 1e-3 },
			{ "us.p99", "p99", "ms", COLUMN_INFO, 2, 1e-3 },
			{ "us.max", "max", "ms", COLUMN_INFO, 2, 1e-3 },
			{ 0 },
		} },
	{ 0 },
};

static int one(double *ret_us, struct why *why)
{
	struct lacuna_config *config = NULL;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	struct lacuna_stats stats = { .size = sizeof(stats) };
	int rc = lacuna_config_new(&config, &err);
	if (rc == 0)
		rc = lacuna_config_set(config, "cmdline", "probe.quiet", &err);
	if (rc == 0)
		rc = lacuna_vm_new(config, &vm, &err);
	if (rc == 0)
		rc = lacuna_vm_start(vm, &err);
	if (rc == 0)
		rc = lacuna_vm_wait(vm, NULL, NULL, &err);
	if (rc == 0)
		lacuna_vm_stats(vm, &stats);
	*ret_us = (double)stats.first_entry_us;
	lacuna_vm_free(vm);
	lacuna_config_free(config);
	return rc < 0 ? why_error(why, err) : 0;
}

static int run(json_t **ret)
{
	struct series us = { 0 };
	struct why why;
	int rc = 0;
	json_t *document =
		result_new("start", json_pack("{s:I}", "count", (json_int_t)asked.count));
	for (uint64_t i = 0; i < asked.count && rc == 0; i++) {
		double value;
		progress("start: %llu of %llu", (unsigned long long)i,
			(unsigned long long)asked.count);
		rc = one(&value, &why);
		if (rc == 0)
			series_add(&us, value);
	}
	json_t *row = json_pack("{s:s, s:s}", "part", "start", "what", "library");
	if (rc == 0) {
		json_object_set_new(row, "us", result_summary(&us));
		result_add(document, row);
	} else {
		result_add_unavailable(document, row, &why);
	}
	series_free(&us);
	*ret = document;
	return STATUS_OK;
}

const struct bench_command bench_start = {
	.name = "start",
	.help = "Times the way from a start to the guest's first instruction",
	.opts = opts,
	.table = tables,
	.set = set,
	.run = run,
};
