// SPDX-License-Identifier: Apache-2.0
/* The command line, found through boot_params (Linux Documentation/arch/x86/boot.rst). */
#include "cmdline.h"

#include "guest.h"
#include "string.h"

#define BP_EXT_CMD_LINE_PTR 0x0c8
#define BP_CMD_LINE_PTR     0x228

static const char *cmdline(void)
{
	uint32_t low, high;
	memcpy(&low, guest_boot_params + BP_CMD_LINE_PTR, 4);
	memcpy(&high, guest_boot_params + BP_EXT_CMD_LINE_PTR, 4);
	const char *line = (const char *)((uint64_t)high << 32 | low);
	return line ? line : "";
}

bool cmdline_get(const char *name, char *ret, size_t size)
{
	size_t len = strlen(name);
	bool found = false;
	ret[0] = '\0';
	for (const char *p = cmdline(); *p;) {
		if (*p == ' ') {
			p++;
			continue;
		}
		size_t word = 0;
		while (p[word] && p[word] != ' ')
			word++;
		if (word >= len && strncmp(p, name, len) == 0 && (word == len || p[len] == '=')) {
			size_t n = word > len ? word - len - 1 : 0;
			if (n >= size)
				n = size - 1;
			memcpy(ret, p + word - (word > len ? word - len - 1 : 0), n);
			ret[n] = '\0';
			found = true;
		}
		p += word;
	}
	return found;
}

bool cmdline_is(const char *name, const char *value)
{
	char text[64];
	return cmdline_get(name, text, sizeof(text)) && str_equal(text, value);
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 99;
}

uint64_t cmdline_number(const char *name, uint64_t otherwise)
{
	char text[32];
	const char *p = text;
	int base = 10;
	if (!cmdline_get(name, text, sizeof(text)))
		return otherwise;
	if (p[0] == '0' && p[1] == 'x') {
		base = 16;
		p += 2;
	}
	uint64_t v = 0;
	if (!*p)
		return otherwise;
	for (; *p; p++) {
		if (digit(*p) >= base)
			return otherwise;
		v = v * base + digit(*p);
	}
	return v;
}
