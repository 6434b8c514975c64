// SPDX-License-Identifier: Apache-2.0
/* What the kernel shows of its histograms. */
#include "bench/tracepoints.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

#define HEAD "# event histogram\n#\n# trigger info: hist:keys=port,rw:vals=hitcount [active]\n#\n\n"
#define TAIL "\nTotals:\n    Hits: 3\n    Entries: 2\n    Dropped: 0\n"

struct sums {
	unsigned entries;
	uint64_t hits, first, second;
};

static void add(void *opaque, const struct tracepoint_hits *h)
{
	struct sums *s = opaque;
	s->entries++;
	s->hits += h->hits;
	s->first += h->key[0];
	s->second += h->key[1];
}

struct text { /* no pointers: rows travel to another process */
	char name[32];
	char keys[16];
	char text[400];
	int rc;
	unsigned entries;
	uint64_t hits, first, second;
	char says[64];
};

ParameterizedTestParameters(bench_tracepoints, parse)
{
	static struct text c[] = {
		{ "nothing counted", "port,rw", HEAD TAIL, 0, 0, 0, 0, 0, "" },
		{ "two entries", "port,rw",
			HEAD "{ port:       3324, rw:          1 } hitcount:          2\n"
			     "{ port:        112, rw:          0 } hitcount:          1\n" TAIL,
			0, 2, 3, 3436, 1, "" },
		{ "one key", "reason", HEAD "{ reason:          2 } hitcount:      19582\n" TAIL, 0,
			1, 19582, 2, 0, "" },
		{ "64 bits", "gpa,type",
			HEAD "{ gpa: 18446744073709551615, type: 2 } hitcount: 1\n" TAIL, 0, 1, 1,
			UINT64_MAX, 2, "" },
		{ "a further value", "reason", HEAD "{ reason: 2 } hitcount: 5, len: 7\n" TAIL, 0,
			1, 5, 2, 0, "" },
		{ "dropped", "port,rw",
			HEAD "{ port: 1, rw: 1 } hitcount: 2\n\nTotals:\n    Dropped: 7\n", -1, 1,
			2, 1, 1, "7 events found no room" },
		{ "breaks off", "port,rw", HEAD "{ port: 1, rw: 1 } hitcount: 2\n", -1, 1, 2, 1, 1,
			"break off" },
		{ "breaks off in a line", "port,rw", HEAD "{ port: 1, rw: 1 } hitcount: 2", -1, 0,
			0, 0, 0, "form unknown" },
		{ "empty", "port,rw", "", -1, 0, 0, 0, 0, "break off" },
		{ "too few keys", "port,rw", HEAD "{ port: 1 } hitcount: 2\n" TAIL, -1, 0, 0, 0, 0,
			"form unknown" },
		{ "too many keys", "port", HEAD "{ port: 1, rw: 1 } hitcount: 2\n" TAIL, -1, 0, 0,
			0, 0, "form unknown" },
		{ "another key", "port,rw", HEAD "{ port: 1, r: 1 } hitcount: 2\n" TAIL, -1, 0, 0,
			0, 0, "form unknown" },
		{ "a longer key", "port,rw", HEAD "{ ports: 1, rw: 1 } hitcount: 2\n" TAIL, -1, 0,
			0, 0, 0, "form unknown" },
		{ "a word", "port,rw", HEAD "{ port: PIO, rw: 1 } hitcount: 2\n" TAIL, -1, 0, 0, 0,
			0, "form unknown" },
		{ "a sign", "port,rw", HEAD "{ port: -1, rw: 1 } hitcount: 2\n" TAIL, -1, 0, 0, 0,
			0, "form unknown" },
		{ "more than 64 bits", "port,rw",
			HEAD "{ port: 18446744073709551616, rw: 1 } hitcount: 2\n" TAIL, -1, 0, 0,
			0, 0, "form unknown" },
		{ "no count", "port,rw", HEAD "{ port: 1, rw: 1 }\n" TAIL, -1, 0, 0, 0, 0,
			"form unknown" },
		{ "the count of another line", "port,rw",
			HEAD "{ port: 1, rw: 1 } \nhitcount: 2\n" TAIL, -1, 0, 0, 0, 0,
			"form unknown" },
	};
	return cr_make_param_array(struct text, c, sizeof(c) / sizeof(c[0]));
}

ParameterizedTest(struct text *c, bench_tracepoints, parse)
{
	struct sums s = { 0 };
	struct why why = { "" };
	int rc = tracepoint_parse(c->text, c->keys, add, &s, &why);
	cr_expect_eq(rc, c->rc, "%s: %d, %s", c->name, rc, why.text);
	cr_expect(strstr(why.text, c->says), "%s: %s", c->name, why.text);
	cr_expect_eq(s.entries, c->entries, "%s", c->name);
	cr_expect_eq(s.hits, c->hits, "%s", c->name);
	cr_expect_eq(s.first, c->first, "%s", c->name);
	cr_expect_eq(s.second, c->second, "%s", c->name);
}
