// SPDX-License-Identifier: Apache-2.0
/* Command lines of monitors. */
#include "bench/boot_monitor.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/child.h"

#define ECAM 0xe0000000 /* of lacuna (abi/layout.h), and of QEMU's microvm */

const struct boot_monitor boot_variants[] = {
	{ .name = "lacuna", .own = true, .window = ECAM },
	{ .name = "lacuna-1bus", .pci = "buses=1", .own = true, .window = ECAM },
	{ .name = "lacuna-256bus", .pci = "buses=256", .own = true, .window = ECAM },
	{ .name = "lacuna-type1", .pci = "config=type1", .own = true, .window = ECAM },
	{ .name = "lacuna-trap-1bus", .pci = "window=trap,buses=1", .own = true, .window = ECAM },
	{ .name = "lacuna-trap-256bus",
		.pci = "window=trap,buses=256",
		.own = true,
		.window = ECAM },
	{ .name = "lacuna-unpack-guest", .unpack = "guest", .own = true, .window = ECAM },
};

/* QEMU 7.2 has no option to announce fewer buses. With pci=lastbus=0 Linux does not look for any
 * beyond those that it was told of (arch/x86/pci/legacy.c), which comes to the same. */
#define ONE_BUS "pci=lastbus=0"
#define MICROVM "microvm,accel=kvm,acpi=on,pcie=on"
/* By default it has no clock chip under KVM, and says so to nobody: Linux waits for one for a
 * second, with 40,000 accesses. */
#define MICROVM_RTC MICROVM ",rtc=on"

const struct boot_monitor boot_rivals[] = {
	{ .name = "qemu-q35", .machine = "q35,accel=kvm", .window = 0xb0000000 },
	{ .name = "qemu-q35-onebus",
		.machine = "q35,accel=kvm",
		.words = ONE_BUS,
		.window = 0xb0000000 },
	{ .name = "qemu-microvm", .machine = MICROVM, .window = ECAM },
	{ .name = "qemu-microvm-rtc", .machine = MICROVM_RTC, .window = ECAM },
	{ .name = "qemu-microvm-onebus", .machine = MICROVM, .words = ONE_BUS, .window = ECAM },
};

const char *const boot_variant_names[] = { "lacuna", "lacuna-1bus", "lacuna-256bus", "lacuna-type1",
	"lacuna-trap-1bus", "lacuna-trap-256bus", "lacuna-unpack-guest", NULL };
const char *const boot_rival_names[] = { "qemu-q35", "qemu-q35-onebus", "qemu-microvm",
	"qemu-microvm-rtc", "qemu-microvm-onebus", NULL };

static_assert(sizeof(boot_variants) / sizeof(boot_variants[0]) == BOOT_VARIANTS &&
		      sizeof(boot_variant_names) / sizeof(char *) == BOOT_VARIANTS + 1,
	"a name for each");
static_assert(sizeof(boot_rivals) / sizeof(boot_rivals[0]) == BOOT_RIVALS &&
		      sizeof(boot_rival_names) / sizeof(char *) == BOOT_RIVALS + 1,
	"a name for each");

/* --- commands of the user's own --- */

int boot_command_parse(const char *value, char name[32], struct boot_monitor *ret)
{
	const char *equals = strchr(value, '=');
	size_t len = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789.-"), more = 0;
	*ret = (struct boot_monitor){ .name = name };
	if (equals && value[len] == '@') {
		char *end;
		ret->window = strtoull(value + len + 1, &end, 16);
		more = (size_t)(end - value) - len;
		if (more < 2 || more > 17 ||
			strspn(value + len + 1, "xabcdefABCDEF0123456789") + 1 != more)
			return fail("compare-cmd: '%.*s': behind the @ goes where the "
				    "configuration window is: NAME@0xADDRESS=COMMAND",
				(int)(equals - value), value);
	}
	if (!equals || !len || len > 31 || value + len + more != equals)
		return fail("compare-cmd: '%s' is not NAME=COMMAND, with a name of up to 31 "
			    "letters a to z, digits, '.' and '-'",
			value);
	if (!equals[1])
		return fail("compare-cmd: '%s': the command is empty", value);
	snprintf(name, 32, "%.*s", (int)len, value);
	ret->command = equals + 1;
	return STATUS_OK;
}

static void export_number(const char *name, uint64_t n)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	setenv(name, text, 1);
}

void boot_export(const struct boot_guest *guest, const char *words)
{
	size_t size = strlen(guest->cmdline) + strlen(words) + 2;
	char *cmdline = must_realloc(NULL, size);
	snprintf(cmdline, size, "%s%s%s", guest->cmdline, *words ? " " : "", words);
	setenv("LACUNA_BOOT_KERNEL", guest->kernel, 1);
	setenv("LACUNA_BOOT_INITRD", guest->initrd ? guest->initrd : "", 1);
	setenv("LACUNA_BOOT_CMDLINE", cmdline, 1);
	setenv("LACUNA_BOOT_DISK", guest->disk, 1);
	setenv("LACUNA_BOOT_TAP", guest->tap ? guest->tap : "", 1);
	export_number("LACUNA_BOOT_MEMORY", guest->memory_mib);
	export_number("LACUNA_BOOT_CPUS", guest->cpus);
	free(cmdline);
}

/* --- lists of words --- */

struct words {
	char **word;
	size_t count;
};

__attribute__((format(printf, 2, 3))) static void put(struct words *w, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	size_t size = (size_t)(len > 0 ? len : 0) + 1;
	char *text = must_realloc(NULL, size);
	va_start(ap, fmt);
	vsnprintf(text, size, fmt, ap);
	va_end(ap);
	w->word = must_realloc(w->word, (w->count + 2) * sizeof(*w->word));
	w->word[w->count++] = text;
	w->word[w->count] = NULL;
}

static void put_all(struct words *w, const char *const *word)
{
	for (; *word; word++)
		put(w, "%s", *word);
}

/* With its commas doubled, as both lacuna and QEMU want them in lists. To be freed. */
static char *doubled(const char *text)
{
	char *copy = must_realloc(NULL, 2 * strlen(text) + 1), *to = copy;
	for (; *text; text++) {
		*to++ = *text;
		if (*text == ',')
			*to++ = ',';
	}
	*to = '\0';
	return copy;
}

static void put_cmdline(struct words *w, const struct boot_monitor *monitor,
	const struct boot_guest *guest, const char *words)
{
	const char *own = monitor->words ? monitor->words : "";
	put(w, "%s%s%s%s%s", guest->cmdline, *own ? " " : "", own, *words ? " " : "", words);
}

static void put_lacuna(struct words *w, const struct boot_monitor *monitor,
	const struct boot_guest *guest, const char *disk, const char *stats)
{
	put_all(w, (const char *const[]){ guest->program, "run", "--kernel", guest->kernel, "--rng",
			   "--stats-file", stats, "--serial", "stdio", "--memory", NULL });
	put(w, "%lluM", (unsigned long long)guest->memory_mib);
	put(w, "--cpus=%llu", (unsigned long long)guest->cpus);
	put(w, "--disk=path=%s%s", disk, guest->disk_readonly ? ",readonly=on" : "");
	if (guest->initrd)
		put(w, "--initrd=%s", guest->initrd);
	if (guest->tap)
		put(w, "--net=tap=%s", guest->tap);
	if (monitor->pci)
		put(w, "--pci=%s", monitor->pci);
	if (monitor->unpack)
		put(w, "--kernel-unpack=%s", monitor->unpack);
	put(w, "--cmdline");
}

static void put_qemu(struct words *w, const struct boot_monitor *monitor,
	const struct boot_guest *guest, const char *disk)
{
	put_all(w, (const char *const[]){ "qemu-system-x86_64", "-M", monitor->machine, "-cpu",
			   "host", "-nodefaults", "-no-user-config", "-display", "none",
			   "-no-reboot", "-chardev", "stdio,id=c,signal=off", "-serial",
			   "chardev:c", "-device", "virtio-blk-pci,drive=d", "-device",
			   "virtio-rng-pci", "-kernel", guest->kernel, "-drive", NULL });
	put(w, "if=none,file=%s,format=raw,id=d%s", disk,
		guest->disk_readonly ? ",readonly=on" : "");
	put(w, "-m");
	put(w, "%llu", (unsigned long long)guest->memory_mib);
	put(w, "-smp");
	put(w, "%llu", (unsigned long long)guest->cpus);
	if (guest->initrd)
		put_all(w, (const char *const[]){ "-initrd", guest->initrd, NULL });
	if (guest->tap) {
		put(w, "-netdev");
		put(w, "tap,id=n,ifname=%s,script=no,downscript=no,vhost=off", guest->tap);
		put_all(w, (const char *const[]){
				   "-device", "virtio-net-pci,netdev=n,romfile=", NULL });
	} else {
		put_all(w, (const char *const[]){ "-nic", "none", NULL });
	}
	put(w, "-append");
}

char **boot_argv(const struct boot_monitor *monitor, const struct boot_guest *guest,
	const char *stats, const char *words)
{
	struct words w = { 0 };
	char *disk = doubled(guest->disk);
	if (monitor->command) {
		put_all(&w, (const char *const[]){ "/bin/sh", "-c", monitor->command, NULL });
	} else {
		if (monitor->own)
			put_lacuna(&w, monitor, guest, disk, stats);
		else
			put_qemu(&w, monitor, guest, disk);
		put_cmdline(&w, monitor, guest, words);
	}
	free(disk);
	return w.word;
}

void boot_argv_free(char **argv)
{
	for (char **p = argv; p && *p; p++)
		free(*p);
	free(argv);
}
