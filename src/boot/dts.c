// SPDX-License-Identifier: Apache-2.0
/* A device tree as source text (Devicetree Specification 0.4, 6): libfdt has no printer, and dtc is
 * a program of its own. */
#include <libfdt.h>

#include "boot/fdt.h"
#include "util/text.h"

static void indent(struct text *out, int depth)
{
	for (int i = 0; i < depth; i++)
		text_add(out, "\t");
}

/* One or more strings, none of them empty unless it is the only one, of characters that can be
 * read. What is taken for one by mistake compiles to the same bytes. */
static bool is_text(const char *value, int size)
{
	if (size == 1)
		return !value[0];
	if (size == 0 || value[size - 1])
		return false;
	for (int i = 0; i < size; i++) {
		unsigned char c = (unsigned char)value[i];
		if (!c && (i == 0 || !value[i - 1]))
			return false;
		if (c && c != '\t' && c != '\n' && (c < ' ' || c == 0x7f))
			return false;
	}
	return true;
}

/* Bytes beyond ASCII may be anything: a command line is the user's. */
static void print_char(unsigned char c, struct text *out)
{
	if (c == '"' || c == '\\')
		text_add(out, "\\%c", c);
	else if (c < ' ' || c >= 0x7f)
		text_add(out, "\\x%02x", c);
	else
		text_add(out, "%c", c);
}

static void print_text(const char *value, int size, struct text *out)
{
	for (int at = 0; at < size; at++) {
		text_add(out, at ? ", \"" : "\"");
		for (; value[at]; at++)
			print_char((unsigned char)value[at], out);
		text_add(out, "\"");
	}
}

static void print_cells(const char *value, int size, struct text *out)
{
	text_add(out, "<");
	for (int at = 0; at < size; at += 4)
		text_add(out, "%s0x%x", at ? " " : "",
			fdt32_ld((const fdt32_t *)(const void *)(value + at)));
	text_add(out, ">");
}

static void print_bytes(const char *value, int size, struct text *out)
{
	text_add(out, "[");
	for (int at = 0; at < size; at++)
		text_add(out, "%s%02x", at ? " " : "", (unsigned char)value[at]);
	text_add(out, "]");
}

static void print_property(const void *fdt, int offset, int depth, struct text *out)
{
	const char *name;
	int size;
	const char *value = fdt_getprop_by_offset(fdt, offset, &name, &size);
	if (!value)
		return;
	indent(out, depth);
	text_add(out, "%s", name);
	if (size)
		text_add(out, " = ");
	if (is_text(value, size))
		print_text(value, size, out);
	else if (size && size % 4 == 0)
		print_cells(value, size, out);
	else if (size)
		print_bytes(value, size, out);
	text_add(out, ";\n");
}

static void print_head(const void *fdt, int node, int depth, struct text *out)
{
	const char *name = fdt_get_name(fdt, node, NULL);
	int property;
	text_add(out, "\n");
	indent(out, depth);
	text_add(out, "%s {\n", depth ? name : "/");
	fdt_for_each_property_offset(property, fdt, node)
	{
		print_property(fdt, property, depth + 1, out);
	}
}

struct text dtb_source(const struct dtb *dtb)
{
	struct text text = { 0 }, *out = &text;
	const void *fdt = dtb->data;
	int depth = 0, open = 0; /* nodes that have been begun and not ended */
	text_add(out, "/dts-v1/;\n");
	for (int node = 0; node >= 0 && depth >= 0; node = fdt_next_node(fdt, node, &depth)) {
		for (; open > depth; open--) {
			indent(out, open - 1);
			text_add(out, "};\n");
		}
		print_head(fdt, node, depth, out);
		open = depth + 1;
	}
	for (; open > 0; open--) {
		indent(out, open - 1);
		text_add(out, "};\n");
	}
	return text;
}
