// SPDX-License-Identifier: Apache-2.0
/* lacuna bench io: what the guest says on its console (lacuna-bench(1), THE GUEST OF IO). */
#include "bench/io_guest.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <string.h>

#define ROWS(a) cr_make_param_array(__typeof__((a)[0]), a, sizeof(a) / sizeof((a)[0]))

static void say(struct io_guest *g, const char *const *lines)
{
	for (; *lines; lines++)
		io_guest_line(g, *lines);
}

static void forget(struct io_guest *g)
{
	for (unsigned w = 0; w < IO_WORKLOADS; w++) {
		series_free(&g->result[w].rate);
		series_free(&g->result[w].units);
		series_free(&g->result[w].counted);
	}
}

struct gate_case {
	char line[64], gate[64]; /* "": it is none */
	enum io_workload next;
};

ParameterizedTestParameters(bench_io, gates)
{
	static struct gate_case c[] = {
		{ "gate begin randread-4k-qd1", "begin randread-4k-qd1", IO_RAND1 },
		{ "gate begin receive", "begin receive", IO_RECEIVE },
		{ "[    3.14] gate begin send", "begin send", IO_SEND }, /* behind a message */
		{ "gate end", "end", IO_WORKLOADS },
		{ "gate idle", "idle", IO_WORKLOADS },
		{ "gate begin", "begin", IO_WORKLOADS },
		{ "gate begin ", "begin ", IO_WORKLOADS },
		{ "gate begin randread-4k-qd", "begin randread-4k-qd", IO_WORKLOADS },
		{ "gate begin randread-4k-qd321", "begin randread-4k-qd321", IO_WORKLOADS },
		{ "gate", "", IO_WORKLOADS },
		{ "irrigate x", "", IO_WORKLOADS }, /* the end of another word */
		{ "[    3.14] cpu0: aggregate begin send", "", IO_WORKLOADS },
		{ "aggregate gate begin send", "begin send", IO_SEND },
		{ "aggregate 1 gate end", "end", IO_WORKLOADS },
		{ "guest send 1 1", "", IO_WORKLOADS },
		{ "", "", IO_WORKLOADS },
	};
	return ROWS(c);
}

ParameterizedTest(struct gate_case *c, bench_io, gates)
{
	struct io_guest g = { .failed = false };
	io_guest_line(&g, c->line);
	cr_expect_eq(g.at_gate, c->gate[0] != '\0');
	cr_expect_str_eq(g.gate, c->gate);
	cr_expect_eq(io_guest_next(&g), c->next);
	forget(&g);
}

Test(bench_io, results)
{
	static const char *const lines[] = { "guest randread-4k-qd1 12000 500",
		"guest randread-4k-qd1 4000 500", "guest randread-4k-qd1 16000 500",
		"guest randread-4k-qd1 8000 500", "guest read-128k-qd8 1 1",
		"guest read-128k-qd8 256 2000", "guest send 1 200", "guest send 5000 300",
		"guest receive 1 400", "guest receive 7500 100", NULL };
	struct io_guest g = { .failed = false };
	say(&g, lines);
	const struct io_series *s = g.result;
	cr_assert_eq(s[IO_RAND1].rate.count, 2);
	cr_expect_float_eq(s[IO_RAND1].rate.value[0], 2000, 1e-9);
	cr_expect_float_eq(s[IO_RAND1].rate.value[1], 4000, 1e-9);
	cr_expect_float_eq(s[IO_RAND1].units.value[1], 2000, 1e-9);
	cr_assert_eq(s[IO_RAND1].counted.count, 2);
	cr_expect_float_eq(s[IO_RAND1].counted.value[0], 3000, 1e-9);
	cr_expect_float_eq(s[IO_RAND1].counted.value[1], 4000, 1e-9);
	cr_assert_eq(s[IO_SEQ].rate.count, 1);
	cr_expect_float_eq(s[IO_SEQ].units.value[0], 2, 1e-9);
	cr_expect_float_eq(s[IO_SEQ].rate.value[0], 1, 1e-9);
	cr_expect_float_eq(s[IO_SEND].rate.value[0], 5, 1e-9);
	cr_expect_float_eq(s[IO_SEND].units.value[0], 300, 1e-9);
	cr_expect_float_eq(s[IO_SEND].counted.value[0], 200, 1e-9);
	cr_expect_float_eq(s[IO_RECEIVE].rate.value[0], 7.5, 1e-9);
	cr_expect_eq(s[IO_RAND32].rate.count, 0);
	cr_expect_str_eq(g.last, "guest receive 7500 100");
	forget(&g);
}

/* A phase that went wrong keeps its place, and is no number. */
struct bad_case {
	char line[80];
	size_t count;
};

ParameterizedTestParameters(bench_io, bad_results)
{
	static struct bad_case c[] = {
		{ "guest send", 1 },
		{ "guest send ", 1 },
		{ "guest send 5000", 1 },
		{ "guest send  300", 1 },
		{ "guest send x 300", 1 },
		{ "guest send 5000 y", 1 },
		{ "guest send 0 300", 1 },
		{ "guest send 5000 0", 1 },
		{ "guest send -5000 300", 1 },
		{ "guest send nan nan", 1 },
		{ "guest sending 5000 300", 0 },
		{ "guest  5000 300", 0 },
		{ "guest ", 0 },
		{ "guestsend 5000 300", 0 },
		{ "a guest send 5000 300", 0 },
	};
	return ROWS(c);
}

ParameterizedTest(struct bad_case *c, bench_io, bad_results)
{
	struct io_guest g = { .failed = false };
	io_guest_line(&g, c->line);
	cr_assert_eq(g.result[IO_SEND].counted.count, c->count);
	io_guest_line(&g, c->line);
	cr_assert_eq(g.result[IO_SEND].rate.count, c->count);
	cr_assert_eq(g.result[IO_SEND].units.count, c->count);
	for (size_t i = 0; i < c->count; i++)
		cr_expect(isnan(g.result[IO_SEND].rate.value[i]) &&
			  isnan(g.result[IO_SEND].counted.value[i]));
	forget(&g);
}

Test(bench_io, long_lines)
{
	struct io_guest g = { .failed = false };
	char line[1024] = "gate begin ";
	memset(line + strlen(line), 'x', sizeof(line) - strlen(line) - 1);
	line[sizeof(line) - 1] = '\0';
	io_guest_line(&g, line);
	cr_expect(g.at_gate);
	cr_expect_eq(strlen(g.gate), sizeof(g.gate) - 1);
	cr_expect_eq(strlen(g.last), sizeof(g.last) - 1);
	cr_expect_eq(io_guest_next(&g), IO_WORKLOADS);
}
