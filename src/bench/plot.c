// SPDX-License-Identifier: Apache-2.0
/* Writes a gnuplot script with its data in it, and runs gnuplot on it, once for each format. */
#include "bench/plot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/child.h"
#include "bench/host.h"
#include "cli/outfile.h"

#define TIMEOUT_NS (60 * SECOND_NS)

/* A document may come from anywhere, and gnuplot runs commands: those in backquotes too, where a
 * string has double quotes. In single quotes all but these means itself (and two of them are not
 * always taken for one); with "noenhanced", _ and ^ do. */
static void put_text(FILE *f, const char *text)
{
	fputc('\'', f);
	for (; text && *text; text++)
		fputc((unsigned char)*text < ' ' ? ' ' : *text == '\'' ? '"' : *text, f);
	fputc('\'', f);
}

/* In a line of data, which is not looked into for commands, and where only double quotes quote. */
static void put_field(FILE *f, const char *text)
{
	fputc('"', f);
	for (; *text; text++)
		fputc((unsigned char)*text < ' '        ? ' '
			: *text == '"' || *text == '\\' ? '\''
							: *text,
			f);
	fputc('"', f);
}

static bool has_spread(const struct plot_series *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->point[i].high > s->point[i].low)
			return true;
	return false;
}

/* Whether the names below the bars would run into each other. */
static bool is_crowded(const struct plot *p)
{
	size_t longest = 0, count = p->count ? p->series[0].count : 0;
	for (size_t i = 0; i < count; i++)
		if (longest < strlen(p->series[0].point[i].label))
			longest = strlen(p->series[0].point[i].label);
	return (longest + 2) * count > 90;
}

/* $s0, $s1, ...: lines of x, label, y, low, high. */
static void put_data(FILE *f, const struct plot *p)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct plot_series *s = &p->series[i];
		fprintf(f, "$s%zu << EOD\n", i);
		for (size_t j = 0; j < s->count; j++) {
			const struct plot_point *at = &s->point[j];
			bool spread = at->high > at->low;
			fprintf(f, "%.9g ", p->kind == PLOT_BARS ? (double)j : at->x);
			put_field(f, at->label);
			fprintf(f, " %.9g %.9g %.9g\n", at->y, spread ? at->low : at->y,
				spread ? at->high : at->y);
		}
		fprintf(f, "EOD\n");
	}
}

/* Bars of one label stand beside each other, unless they are stacked; their spread in the middle of
 * each. */
static void put_bars(FILE *f, const struct plot *p)
{
	double width = p->stacked ? 0.6 : 0.8 / (double)p->count;
	fprintf(f, "set boxwidth %.6g\nset style fill solid %s border -1\nset xrange [-0.6:%.6g]\n",
		width, p->stacked ? "1.0" : "0.7",
		(double)(p->count ? p->series[0].count : 0) - 0.4);
	fprintf(f, "set xtics noenhanced%s (", is_crowded(p) ? " rotate by -20" : "");
	for (size_t j = 0; p->count && j < p->series[0].count; j++) { /* once, below its bars */
		fprintf(f, "%s", j ? ", " : "");
		put_text(f, p->series[0].point[j].label);
		fprintf(f, " %zu", j);
	}
	fprintf(f, ")\nplot ");
	for (size_t i = 0; i < p->count; i++) {
		double beside = p->stacked ? 0 : (double)i - ((double)p->count - 1) / 2;
		double shift = beside * width;
		fprintf(f, "%s$s%zu using ($1+%.6g):3 with boxes linetype %zu ", i ? ", " : "", i,
			shift, i + 1);
		if (p->series[i].name) {
			fprintf(f, "title ");
			put_text(f, p->series[i].name);
		} else {
			fprintf(f, "notitle");
		}
		if (has_spread(&p->series[i]))
			fprintf(f,
				", $s%zu using ($1+%.6g):3:4:5 with yerrorbars linetype -1 "
				"pointtype 0 notitle",
				i, shift);
	}
	fprintf(f, "\n");
}

static void put_lines(FILE *f, const struct plot *p)
{
	if (p->log_x)
		fprintf(f, "set logscale x\n");
	fprintf(f, "set xtics (");
	for (size_t j = 0; p->count && j < p->series[0].count; j++)
		fprintf(f, "%s%.9g", j ? ", " : "", p->series[0].point[j].x);
	fprintf(f, ")\nset offsets graph 0.03, graph 0.03, 0, 0\nplot ");
	for (size_t i = 0; i < p->count; i++) {
		fprintf(f, "%s$s%zu using 1:3:4:5 with yerrorlines linetype %zu pointtype 7 ",
			i ? ", " : "", i, i + 1);
		if (p->series[i].name) {
			fprintf(f, "title ");
			put_text(f, p->series[i].name);
		} else {
			fprintf(f, "notitle");
		}
	}
	fprintf(f, "\n");
}

static void put_script(FILE *f, const struct plot *p, const json_t *document, const char *terminal)
{
	char host[256];
	host_line(json_object_get(document, "host"), host, sizeof(host));
	put_data(f, p);
	fprintf(f, "set terminal %s\nset title ", terminal);
	put_text(f, p->title);
	fprintf(f, ".\"\\n\".");
	put_text(f, host);
	fprintf(f, ".\"; lacuna \".");
	put_text(f, json_string_value(json_object_get(document, "lacuna")));
	fprintf(f, " noenhanced font \",10\"\nset ylabel ");
	put_text(f, p->y_label);
	fprintf(f, " noenhanced\nset xlabel ");
	put_text(f, p->x_label);
	fprintf(f,
		" noenhanced\nset grid ytics\nset key below "
		"noenhanced\n%s\n",
		p->log_y ? "set logscale y" : "set yrange [0:*]");
	if (p->kind == PLOT_BARS)
		put_bars(f, p);
	else
		put_lines(f, p);
}

static int draw_one(const char *dir, const json_t *document, const struct plot *p,
	const char *suffix, const char *terminal)
{
	char path[PATH_MAX], *script = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&script, &size);
	if (!f || snprintf(path, sizeof(path), "%s/%s.%s", dir, p->name, suffix) >= PATH_MAX)
		return fail("plot: %s", f ? "the name is too long" : "out of memory");
	put_script(f, p, document, terminal);
	fclose(f);

	const char *argv[] = { "gnuplot", "-", NULL };
	struct child_spec spec = { .argv = argv, .input = script, .input_size = size };
	struct child c;
	struct why why;
	int status = STATUS_OK;
	if (child_run(&c, &spec, TIMEOUT_NS, &why) < 0)
		status = fail("plot: %s", why.text);
	else if (!c.output_size)
		status = fail(
			"plot: gnuplot drew nothing: %s", c.errors ? c.errors : "no reason given");
	if (status == STATUS_OK) {
		static struct outfile out = OUTFILE_INIT("plot");
		undo_push((void (*)(void *))outfile_discard, &out);
		status = outfile_open(&out, path);
		if (status == STATUS_OK)
			status = outfile_write(&out, c.output, c.output_size);
		undo_pop();
	}
	child_end(&c);
	free(script);
	return status;
}

int plot_draw(const char *dir, const json_t *document, const struct plot *plot)
{
	char path[PATH_MAX];
	if (!child_find("gnuplot", path))
		return fail("plot: gnuplot is not installed: install it (Debian: gnuplot-nox) or "
			    "leave --plot out");
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return fail("plot: make the folder '%s': %s", dir, strerror(errno));
	int status = draw_one(dir, document, plot, "svg",
		"svg size 900,520 font \"sans,13\" background \"white\"");
	if (status == STATUS_OK)
		status = draw_one(dir, document, plot, "png",
			"pngcairo size 900,520 font \"sans,11\" background \"white\"");
	return status;
}
