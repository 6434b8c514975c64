// SPDX-License-Identifier: Apache-2.0
/* What the host is, from /proc, /sys, CPUID and liblacuna. */
#include "bench/host.h"

#include <cpuid.h>
#include <dirent.h>
#include <lacuna/vm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench/child.h"

#define CPUS "/sys/devices/system/cpu/"
#define VM   "/sys/kernel/mm/"

/* The first line of a file, or null. */
static json_t *line_of(const char *path)
{
	char line[512];
	FILE *f = fopen(path, "re");
	if (!f)
		return json_null();
	char *got = fgets(line, sizeof(line), f);
	fclose(f);
	if (!got)
		return json_null();
	line[strcspn(line, "\n")] = '\0';
	return json_string(line);
}

/* The text after "KEY" and a colon, in a file of such lines. */
static json_t *field_of(const char *path, const char *key)
{
	char line[512];
	json_t *found = NULL;
	FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		size_t len = strlen(key);
		char *colon = strchr(line, ':');
		if (!colon || strncmp(line, key, len) ||
			strspn(line + len, " \t") < (size_t)(colon - line) - len)
			continue;
		colon += 1 + strspn(colon + 1, " \t");
		colon[strcspn(colon, "\n")] = '\0';
		found = json_string(colon);
	}
	if (f)
		fclose(f);
	return found ? found : json_null();
}

/* As field_of(); a number with, perhaps, a unit, which is dropped. */
static json_t *count_of(const char *path, const char *key)
{
	json_t *text = field_of(path, key);
	const char *s = json_string_value(text);
	json_t *number = s ? json_integer(strtoll(s, NULL, 10)) : json_null();
	json_decref(text);
	return number;
}

/* The word in brackets: "always [madvise] never". */
static json_t *choice_of(const char *path)
{
	json_t *line = line_of(path);
	const char *s = json_string_value(line);
	const char *from = s ? strchr(s, '[') : NULL;
	const char *to = from ? strchr(from, ']') : NULL;
	json_t *word = to ? json_stringn(from + 1, (size_t)(to - from) - 1) : json_null();
	json_decref(line);
	return word;
}

static json_t *mitigations(void)
{
	json_t *o = json_object();
	DIR *d = opendir(CPUS "vulnerabilities");
	for (const struct dirent *e; d && (e = readdir(d));) {
		char path[320];
		snprintf(path, sizeof(path), CPUS "vulnerabilities/%s", e->d_name);
		if (e->d_name[0] != '.')
			json_object_set_new(o, e->d_name, line_of(path));
	}
	if (d)
		closedir(d);
	return o;
}

/* The outer hypervisor's signature (CPUID 0x40000000), "" if it has none, null without one. */
static json_t *hypervisor(void)
{
	unsigned a, b, c, d;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 31))
		return json_null();
	unsigned word[3];
	__cpuid(0x40000000, a, word[0], word[1], word[2]);
	char name[13] = "";
	memcpy(name, word, 12);
	for (char *p = name; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '\0';
	return json_string(name);
}

static void add_topic(void *object, bool ok, const char *topic, const char *text)
{
	json_object_set_new(object, topic, json_string(text));
}

/* What `lacuna doctor` says, by topic; or why there is no KVM. */
static json_t *kvm(void)
{
	json_t *o = json_object();
	struct lacuna_error *err = NULL;
	if (lacuna_host_check(add_topic, o, &err) < 0)
		json_object_set_new(o, "not_available", json_string(lacuna_error_message(err)));
	lacuna_error_free(err);
	return o;
}

/* The first line that a program prints when asked for its version, or null. */
static json_t *version_of(const char *program)
{
	const char *argv[] = { program, "--version", NULL };
	struct child_spec spec = { .argv = argv };
	struct child c;
	struct why why;
	json_t *version = json_null();
	if (child_run(&c, &spec, 10 * SECOND_NS, &why) == 0 && c.output) {
		c.output[strcspn(c.output, "\n")] = '\0';
		version = json_string(c.output);
	}
	child_end(&c);
	return version;
}

/* UTC. strftime() and all it knows of zones and languages would be a good part of a static program.
 * A year of this count begins in March, so that a leap day is its last (Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms"). */
static json_t *timestamp(void)
{
	uint64_t t = (uint64_t)time(NULL), day = t / 86400 + 719468;
	uint64_t era = day / 146097, of_era = day % 146097;
	uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * of_year + 2) / 153;
	char text[64];
	snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02uZ",
		(unsigned)(era * 400 + year + (month >= 10)),
		(unsigned)(month < 10 ? month + 3 : month - 9),
		(unsigned)(of_year - (153 * month + 2) / 5 + 1), (unsigned)(t / 3600 % 24),
		(unsigned)(t / 60 % 60), (unsigned)(t % 60));
	return json_string(text);
}

json_t *host_describe(void)
{
	struct utsname u;
	uname(&u);
	json_t *pages = json_pack("{s:o, s:o, s:o, s:o, s:o}", "transparent",
		choice_of(VM "transparent_hugepage/enabled"), "transparent_shmem",
		choice_of(VM "transparent_hugepage/shmem_enabled"), "pool",
		count_of("/proc/meminfo", "HugePages_Total"), "pool_free",
		count_of("/proc/meminfo", "HugePages_Free"), "pool_page_kib",
		count_of("/proc/meminfo", "Hugepagesize"));
	return json_pack("{s:o, s:I, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "cpu",
		field_of("/proc/cpuinfo", "model name"), "cpus",
		(json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "memory_kib",
		count_of("/proc/meminfo", "MemTotal"), "kernel", u.release, "kernel_build",
		u.version, "kvm", kvm(), "hypervisor", hypervisor(), "mitigations", mitigations(),
		"huge_pages", pages, "governor", line_of(CPUS "cpu0/cpufreq/scaling_governor"),
		"qemu", version_of("qemu-system-x86_64"), "time", timestamp());
}

void host_line(const json_t *host, char *buf, size_t size)
{
	const char *cpu = json_string_value(json_object_get(host, "cpu"));
	const char *kernel = json_string_value(json_object_get(host, "kernel"));
	const json_t *kvm_topics = json_object_get(host, "kvm");
	const char *flavour = json_string_value(json_object_get(kvm_topics, "flavour"));
	const char *outer = json_string_value(json_object_get(host, "hypervisor"));
	if (outer && !strcmp(outer, "KVMKVMKVM"))
		outer = "KVM";
	else if (outer && !strcmp(outer, "TCGTCGTCGTCG"))
		outer = "QEMU's emulator (TCG)";
	snprintf(buf, size, "%s, %lld CPUs, Linux %s, %s%s%s%s", cpu ? cpu : "unknown CPU",
		(long long)json_integer_value(json_object_get(host, "cpus")), kernel ? kernel : "?",
		flavour ? flavour : "no KVM", outer ? ", itself a guest" : "",
		outer && *outer ? " of " : "", outer ? outer : "");
}
