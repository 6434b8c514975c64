# SPDX-License-Identifier: Apache-2.0
# `make help` lists what can be asked for. Everything is built below $(BUILD); the source tree is never written to.

BUILD   ?= build
V       ?= 0
# one name for one folder, or dependencies recorded under another name are not found
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))
export BUILD # an override is not exported by itself, and tests/run would test what is in build/

# What was built is installed and measured as it was built: by its own settings, not those of the caller's environment.
ifneq ($(MAKECMDGOALS),)
ifeq ($(filter-out install uninstall size,$(MAKECMDGOALS)),)
$(eval $(file <$(BUILD)/settings-compile.mk))
$(eval $(file <$(BUILD)/settings-link.mk))
keep_commit := 1
endif
endif

WERROR  ?= 0
STATIC  ?= 0
SANITIZE ?=

VERSION := 0.1.0
# Raised when a program linked with the last version would not run with this one.
SOVERSION := 0
soname := liblacuna.so.$(SOVERSION)
shared := liblacuna.so.$(VERSION)

# where things are installed, by the names of the GNU coding standards
prefix      ?= /usr/local
exec_prefix ?= $(prefix)
bindir      ?= $(exec_prefix)/bin
libdir      ?= $(exec_prefix)/lib
includedir  ?= $(prefix)/include
datarootdir ?= $(prefix)/share
mandir      ?= $(datarootdir)/man
docdir      ?= $(datarootdir)/doc/lacuna
pkgconfigdir ?= $(libdir)/pkgconfig
bashcompletiondir ?= $(datarootdir)/bash-completion/completions
zshcompletiondir ?= $(datarootdir)/zsh/site-functions
DESTDIR     ?=
INSTALL     ?= install

ifeq ($(origin CC),default)
CC := gcc
endif
AR       ?= ar
IASL     ?= iasl
OBJCOPY  ?= objcopy
PKG_CONFIG ?= pkg-config

# --- flags: ours first, the user's CFLAGS/LDFLAGS last, so that `make CFLAGS=-O0` keeps -std=c17 -------------------
# a static program is meant to be small
CFLAGS  ?= $(if $(filter 1,$(STATIC)),-Os,-O2) -g
LDFLAGS ?=

LAC_CPPFLAGS := -D_GNU_SOURCE -Isrc -Iinclude -DLACUNA_VERSION_STRING='"$(VERSION)"'
LAC_CFLAGS := -std=c17 -pthread -fvisibility=hidden -fno-strict-aliasing -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables \
	-Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Wold-style-definition \
	-Wpointer-arith -Wwrite-strings -Wundef -Wformat=2 -Wno-unused-parameter
LAC_LDFLAGS := -pthread -Wl,-z,relro,-z,now -Wl,-z,noexecstack

HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection
ifeq ($(SANITIZE),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
else
LAC_CFLAGS  += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=undefined
LAC_LDFLAGS += -fsanitize=$(SANITIZE)
endif
LAC_CFLAGS += $(HARDEN)

# The library's objects are made once, for its shared and its static form; everything else is linked into programs.
LAC_PIC := -fPIE
PIC := -fPIC -fno-semantic-interposition

# Not for the tests: Criterion finds them by sections that nothing refers to.
DROP_UNUSED := -Wl,--gc-sections

PIE := -pie
# RELR makes 40 KiB of relocations 1 KiB. A static program relocates itself, so that no loader needs to know of it.
STATIC_PIE := -static-pie -Wl,-z,pack-relative-relocs
ifeq ($(STATIC),1)
ifneq ($(SANITIZE),)
$(error STATIC=1 and SANITIZE do not go together: the sanitizers need the shared C library)
endif
endif
ifeq ($(WERROR),1)
LAC_CFLAGS += -Werror
endif

ifeq ($(SANITIZE),)
NO_UNDEFINED := -Wl,-z,defs # the sanitizers' own names are found in the program only
endif
# gcc would write its intermediate form again, out of objcopy's reach.
ifneq ($(findstring -flto,$(CFLAGS)),)
NO_LTO_OUTPUT := $(if $(findstring clang,$(CC)),,-flinker-output=nolto-rel)
endif

# what the library needs, and what the program needs besides
JANSSON := $(shell $(PKG_CONFIG) --libs jansson 2>/dev/null || echo -ljansson)
# disks; device trees; what unpacks kernels, and what names them in the cache
lib_packages := liburing libfdt zlib liblzma libzstd nettle
lib_names := -luring -lfdt -lz -llzma -lzstd -lnettle
LIB_LIBS := $(shell $(PKG_CONFIG) --libs $(lib_packages) 2>/dev/null || echo $(lib_names))

# --- sources: sorted, found by folder -------------------------------------------------------------------------------
lib_src := $(sort $(wildcard src/util/*.c src/kvm/*.c src/loop/*.c src/mem/*.c src/backend/*.c src/bus/*.c \
	src/dev/*.c src/pci/*.c src/virtio/*.c src/boot/*.c src/arch/x86/*.c src/machine/*.c src/api/*.c))
blob_src := $(sort $(wildcard src/boot/*.S))
cli_src := $(sort $(wildcard src/cli/*.c src/bench/*.c))
unit_src := $(sort $(wildcard tests/unit/*.c))
direct_src := $(sort $(wildcard tests/direct/*.c))
guest_src := $(sort $(wildcard tests/guest/*.c))
cli_test_src := $(sort $(wildcard tests/cli/*.c))
nested_test_src := $(sort $(wildcard tests/nested/*.c))
example_src := $(sort $(wildcard examples/*.c))
example_guest_src := $(sort $(wildcard examples/guest/*.c))
embed_test_src := $(sort $(filter-out %/inject.c %/held.c %/faults_files.c,$(wildcard tests/embed/*.c)))
fw_lib_src := $(sort $(filter-out firmware/probe.c,$(wildcard firmware/*.c)) $(wildcard firmware/*.S))

lib_obj := $(lib_src:%.c=$(BUILD)/obj/%.o) $(blob_src:%.S=$(BUILD)/obj/%.o)
cli_obj := $(cli_src:%.c=$(BUILD)/obj/%.o)
unit_obj := $(unit_src:%.c=$(BUILD)/obj/%.o)
direct_obj := $(direct_src:%.c=$(BUILD)/obj/%.o)
fw_lib_obj := $(patsubst %,$(BUILD)/fw/%.o,$(basename $(fw_lib_src)))
cli_test_bin := $(cli_test_src:%.c=$(BUILD)/%)
nested_test_bin := $(nested_test_src:%.c=$(BUILD)/%)
example_bin := $(example_src:%.c=$(BUILD)/%)
example_guest_bin := $(example_guest_src:examples/%.c=$(BUILD)/examples/%)
man_page := $(patsubst man/%.scd,$(BUILD)/man/%,$(sort $(wildcard man/*.scd)))
embed_test_bin := $(embed_test_src:%.c=$(BUILD)/%)
guest_elf := $(guest_src:tests/guest/%.c=$(BUILD)/tests/guest/%.elf)
guest32_elf := $(patsubst %,$(BUILD)/tests/guest/%.elf,multiboot-elf32 multiboot-elf64 multiboot-flat pvh-elf32)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

.DELETE_ON_ERROR:
.SUFFIXES:
# By name: with all of them, make 4.3 makes things again that nothing has changed.
.SECONDARY: $(patsubst %.c,$(BUILD)/obj/%.o,$(cli_test_src) $(nested_test_src) $(wildcard tests/embed/*.c)) $(guest_src:%.c=$(BUILD)/fw/%.o) \
	$(BUILD)/acpi/dsdt.aml

all: $(BUILD)/lacuna $(BUILD)/liblacuna.a $(BUILD)/liblacuna.so ## build the program and the library (the default)

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20
	@echo
	@echo 'Variables: BUILD=dir CC=gcc|clang SANITIZE=address,undefined|thread STATIC=1 WERROR=1 V=1 FAST=1'
	@echo '           DESTDIR= prefix= bindir= libdir= includedir= mandir= docdir= ...'

# --- settings ------------------------------------------------------------------------------------------------------------
# Files that change when the flags do, so that what was made by other flags is made again: a sanitizer build never mixes
# with a plain one in one folder. The second one also changes when a source has come or gone. `make install` takes its
# settings from them.
hash := \#
quote = '$(subst ','\'',$(1))'
setting = $(call quote,$(1) := $(subst $(hash),\$(hash),$(subst $$,$$$$,$($(1)))))
settings = printf '%s\n' $(foreach v,$(1),$(call setting,$(v))) $(call quote,$(hash) $(2))
define keep_settings
	@mkdir -p $(@D)
	@$(settings) | cmp -s - $@ || $(settings) > $@
endef

$(BUILD)/settings-compile.mk: FORCE
	$(call keep_settings,CC CFLAGS SANITIZE WERROR,$(LAC_CPPFLAGS) $(LAC_CFLAGS) $(PIC))

$(BUILD)/settings-link.mk: FORCE
	$(call keep_settings,LDFLAGS STATIC LIB_LIBS,$(LAC_LDFLAGS) $(PIE) $(STATIC_PIE) $(DROP_UNUSED) $(LIB_LIBS) $(JANSSON) \
		$(lib_obj) $(cli_obj) $(unit_obj) $(direct_obj))
FORCE:

# --- the library ---------------------------------------------------------------------------------------------------------
$(lib_obj): private LAC_PIC := $(PIC)

$(BUILD)/obj/%.o: %.c $(BUILD)/settings-compile.mk
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(LAC_CPPFLAGS) $(LAC_CFLAGS) $(LAC_PIC) $(CFLAGS) -MMD -MP -c -o $@ $<

# What the results of `lacuna bench` say was measured. One object knows of it, since it changes with each commit. A tree without
# git, or of which git does not tell (another user's), keeps what it was built from, or has none.
$(BUILD)/commit.h: $(if $(keep_commit),,FORCE)
	@mkdir -p $(@D)
	@above=$$(git rev-parse --show-cdup 2>/dev/null) && [ -z "$$above" ] && commit=$$(git describe --always --dirty 2>/dev/null) || commit=; \
	[ -e $@ ] && { [ -z "$$commit" ] || grep -qF "\"$$commit\"" $@; } || echo "#define LACUNA_COMMIT \"$$commit\"" > $@

$(BUILD)/obj/src/bench/result.o: $(BUILD)/commit.h
$(BUILD)/obj/src/bench/result.o: private LAC_CPPFLAGS += -include $(BUILD)/commit.h

# For our own tests, which look inside.
$(BUILD)/liblacuna-internal.a: $(lib_obj) $(BUILD)/settings-link.mk
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(lib_obj)

# One object in which only the public names are left global: our gmem_read or log_debug must not meet an embedder's. The
# compiler does the linking, since it alone can read its own objects under -flto.
$(BUILD)/liblacuna.o: $(lib_obj) $(BUILD)/settings-link.mk
	$(say) LINK $@
	$(Q)$(CC) $(filter-out -pthread -Werror -fsanitize%,$(LAC_CFLAGS)) $(PIC) $(CFLAGS) -r -nostdlib $(NO_LTO_OUTPUT) -o $@ $(lib_obj)
	$(Q)$(OBJCOPY) --localize-hidden $@

$(BUILD)/liblacuna.a: $(BUILD)/liblacuna.o
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $<

$(BUILD)/$(shared): $(lib_obj) src/api/liblacuna.map $(BUILD)/settings-link.mk
	$(say) LINK $@
	$(Q)$(CC) $(LAC_CFLAGS) $(PIC) $(CFLAGS) -shared $(LAC_LDFLAGS) $(DROP_UNUSED) $(NO_UNDEFINED) -Wl,-soname,$(soname) \
		-Wl,--version-script=src/api/liblacuna.map $(LDFLAGS) -o $@ $(lib_obj) $(LIB_LIBS)

$(BUILD)/$(soname): $(BUILD)/$(shared)
	$(Q)ln -sf $(shared) $@

$(BUILD)/liblacuna.so: $(BUILD)/$(soname)
	$(Q)ln -sf $(soname) $@

# --- programs ------------------------------------------------------------------------------------------------------------
link = $(CC) $(LAC_CFLAGS) $(CFLAGS) $(LAC_LDFLAGS) $(1) $(LDFLAGS) -o $@ $(filter %.o %.a,$^)

# Debian's libzstd.a brings decoders of the formats before 0.8 (2016) along, 90 KiB, for data that say they have one; no kernel
# does. In a static program they are functions that return an error (10: unknown prefix), as in a libzstd made without them.
# The list is whatever this libzstd.a asks of them.
$(BUILD)/obj/old_zstd.o: $(BUILD)/settings-compile.mk
	$(say) CC $@
	$(Q)nm -u "$$($(CC) -print-file-name=libzstd.a)" 2>/dev/null | sed -n 's/.* \(Z[A-Z]*v0[1-7]_.*\)/\1/p' | sort -u | sed \
		-e 's/.*_findFrameSizeInfo.*/void &(void *, long, long *, long *); \
			void &(void *p, long n, long *packed, long *size) { *packed = -10; *size = -2; }/; t' \
		-e 's/.*/long &(void); long &(void) { return -10; }/' | $(CC) $(LAC_CFLAGS) $(LAC_PIC) $(CFLAGS) -c -x c -o $@ -

$(BUILD)/lacuna: $(cli_obj) $(if $(filter 1,$(STATIC)),$(BUILD)/obj/old_zstd.o) $(BUILD)/liblacuna.a $(BUILD)/settings-link.mk
	$(say) LINK $@
	$(Q)$(call link,$(DROP_UNUSED) $(if $(filter 1,$(STATIC)),$(STATIC_PIE),$(PIE))) $(LIB_LIBS) $(JANSSON)

# As an embedder would: the compiler's own C, public headers, the static library.
$(BUILD)/examples/%: examples/%.c $(BUILD)/liblacuna.a $(BUILD)/settings-compile.mk $(BUILD)/settings-link.mk
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) -Iinclude $(LAC_CFLAGS) -std=gnu17 $(LAC_PIC) $(CFLAGS) $(LAC_LDFLAGS) $(DROP_UNUSED) $(PIE) $(LDFLAGS) -MMD -MP \
		-MF $@.d -MT $@ -o $@ $< $(BUILD)/liblacuna.a $(LIB_LIBS)

# A guest's program: static, since an initramfs has no libraries.
$(BUILD)/examples/guest/%: examples/guest/%.c $(BUILD)/settings-compile.mk
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -fsanitize% -fno-sanitize%,$(LAC_CFLAGS)) -std=gnu17 $(CFLAGS) -D_GNU_SOURCE -static -MMD -MP \
		-MF $@.d -MT $@ -o $@ $<

# Binary parts (the DSDT and the probe guest) are taken in by .incbin from the build folder.
$(BUILD)/obj/%.o: %.S $(BUILD)/settings-compile.mk $(BUILD)/acpi/dsdt.aml $(BUILD)/firmware/probe.stripped
	$(say) AS $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(LAC_CPPFLAGS) $(LAC_CFLAGS) $(LAC_PIC) $(CFLAGS) -Wa,-I$(BUILD) -MMD -MP -c -o $@ $<

# --- ACPI source -------------------------------------------------------------------------------------------------------
$(BUILD)/acpi/%.aml: acpi/%.asl include/abi/layout.h
	$(say) IASL $<
	@mkdir -p $(@D)
	$(Q)$(CC) -E -P -x c -undef -nostdinc -Iinclude -D__ASL__ -o $(BUILD)/acpi/$*.pp.asl $<
	$(Q)$(IASL) -we -p $(BUILD)/acpi/$* $(BUILD)/acpi/$*.pp.asl > $(BUILD)/acpi/$*.log || { cat $(BUILD)/acpi/$*.log; exit 1; }

# --- freestanding guests -----------------------------------------------------------------------------------------------
FW_CFLAGS := -std=c17 -O2 -g -ffreestanding -fno-pic -fno-pie -mcmodel=small -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-strict-aliasing \
	-fno-builtin \
	-Wall -Wextra -Wshadow -Wmissing-prototypes -Wno-unused-parameter -Iinclude -Ifirmware
ifeq ($(WERROR),1)
FW_CFLAGS += -Werror
endif

$(BUILD)/fw/%.o: %.c
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(FW_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/fw/%.o: %.S
	$(say) AS $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(FW_CFLAGS) -MMD -MP -c -o $@ $<

define fw_link
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(FW_CFLAGS) -nostdlib -static -Wl,-T,firmware/guest.ld -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,--no-warn-rwx-segments -o $@ $(filter %.o,$^)
endef

$(BUILD)/firmware/probe.elf: $(BUILD)/fw/firmware/probe.o $(fw_lib_obj) firmware/guest.ld
	$(fw_link)

$(BUILD)/firmware/probe.stripped: $(BUILD)/firmware/probe.elf
	$(Q)$(OBJCOPY) --strip-all $< $@

$(BUILD)/tests/guest/%.elf: $(BUILD)/fw/tests/guest/%.o $(fw_lib_obj) firmware/guest.ld
	$(fw_link)

# A multiboot kernel of 32 bits; with a PVH note, too; in the form that some are built in, as an ELF file of 64; and as no ELF file at all.
guest32_src := tests/guest32/multiboot.c firmware/serial.c tests/guest32/start.S
guest32_dep := $(guest32_src) tests/guest32/guest32.h tests/guest32/guest.ld include/abi/layout.h firmware/serial.h firmware/io.h
FW32_CFLAGS := $(filter-out -mcmodel=small -mno-red-zone,$(FW_CFLAGS)) -m32 -Wno-int-to-pointer-cast

define fw32_link
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(FW32_CFLAGS) $(1) -nostdlib -static -Wl,-T,tests/guest32/guest.ld -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,--no-warn-rwx-segments -o $@ $(guest32_src) $(2)
endef

$(BUILD)/tests/guest/multiboot-elf32.elf: $(guest32_dep)
	$(call fw32_link,)

$(BUILD)/tests/guest/multiboot-elf64.elf: $(BUILD)/tests/guest/multiboot-elf32.elf
	$(Q)$(OBJCOPY) -O elf64-x86-64 $< $@

$(BUILD)/tests/guest/pvh-elf32.elf: $(guest32_dep) tests/guest32/pvh.c
	$(call fw32_link,-DPVH,tests/guest32/pvh.c)

$(BUILD)/tests/guest/multiboot-flat.elf: $(guest32_dep)
	$(call fw32_link,-DADDRESSES)
	$(Q)$(OBJCOPY) -O binary $@

# --- tests ---------------------------------------------------------------------------------------------------------------
# Criterion's runner can't live with ThreadSanitizer's memory layout: a header of the same interface takes its place.
TEST_LIBS := -lcriterion -llz4
ifneq ($(findstring thread,$(SANITIZE)),)
TEST_LIBS := -llz4
shim_obj := $(BUILD)/obj/tests/shim/main.o
$(unit_obj) $(direct_obj) $(shim_obj): private LAC_CPPFLAGS += -Itests/shim
endif

# The program's parts, for the tests: what a test does not use is not taken from the archive.
$(BUILD)/tests/program.a: $(filter-out %/main.o,$(cli_obj)) $(BUILD)/settings-link.mk
	$(say) AR $@
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/tests/unit.bin: $(unit_obj) $(shim_obj) $(BUILD)/tests/program.a $(BUILD)/liblacuna-internal.a $(BUILD)/settings-link.mk
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(call link,$(PIE)) $(TEST_LIBS) $(LIB_LIBS) $(JANSSON)

$(BUILD)/tests/direct.bin: $(direct_obj) $(shim_obj) $(BUILD)/liblacuna-internal.a $(BUILD)/settings-link.mk
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(call link,$(PIE)) $(TEST_LIBS) $(LIB_LIBS)

$(BUILD)/tests/cli/%: $(BUILD)/obj/tests/cli/%.o $(BUILD)/settings-link.mk
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(call link,$(PIE))

$(BUILD)/tests/nested/%: $(BUILD)/obj/tests/nested/%.o $(BUILD)/liblacuna-internal.a $(BUILD)/settings-link.mk
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(call link,$(PIE)) $(LIB_LIBS)

# Programs of their own around the library, since they replace functions of the C library (*.link: how) or run under
# another program.
embed_link = $(patsubst %,@%,$(wildcard $(1).link $(if $(SANITIZE),$(1)-sanitized.link)))
$(BUILD)/tests/embed/faults: $(BUILD)/obj/tests/embed/inject.o $(BUILD)/obj/tests/embed/faults_files.o
$(BUILD)/tests/embed/%: $(BUILD)/obj/tests/embed/%.o $(BUILD)/obj/tests/embed/held.o $(BUILD)/liblacuna.a $(BUILD)/settings-link.mk
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(call link,$(PIE) $(call embed_link,tests/embed/$*)) $(LIB_LIBS)

tests: all $(BUILD)/tests/unit.bin $(BUILD)/tests/direct.bin $(guest_elf) $(guest32_elf) $(cli_test_bin) $(nested_test_bin) $(embed_test_bin) $(example_bin) $(example_guest_bin) ## build every test program

setup: ## install what building, running and testing need (Debian packages)
	$(Q)tools/setup

guest-kernel: ## build the small guest kernel, without and with the patch of firmware/linux
	$(Q)tools/setup guest-kernel
	$(Q)tools/guest-kernel

run: ## install, build, boot the stock Debian guest (FAST=1: the small kernel) and report
	$(Q)tools/setup $(if $(filter 1,$(FAST)),guest-kernel)
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) all
	$(Q)tools/run-stock $(if $(filter 1,$(FAST)),fast)

bench: $(BUILD)/lacuna ## measure all of `lacuna bench` and write docs/BENCHMARKS.md (BENCH=quick: briefly, into the build folder)
	$(Q)$(MAKE) -s --no-print-directory STATIC=1 BUILD=$(BUILD)/static $(BUILD)/static/lacuna
	$(Q)tools/bench

check: ## install, build and run every test; the last line counts them
	$(Q)tools/setup guest-kernel
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) tests
	$(Q)tests/run all

check-unit: $(BUILD)/tests/unit.bin ## unit tests only (no KVM, no root)
	$(Q)tests/run unit

check-direct: tests ## small guests on /dev/kvm only
	$(Q)tests/run direct

check-nested: tests ## stock guests only
	$(Q)tests/run nested

check-embed: tests ## programs of their own around the library: failing calls, valgrind
	$(Q)tests/run embed

check-cli: tests ## black-box tests of the command line only
	$(Q)tests/run cli

check-api: tests ## the library as a product: names, headers, an installed copy (no KVM)
	$(Q)tests/run api

check-layers: ## an #include may point to a lower layer only
	$(Q)tools/check-layers

flags-hosted: # for tools/lint
	@echo $(LAC_CPPFLAGS) -std=c17 -pthread

flags-guest:
	@echo $(FW_CFLAGS)

flags-guest32:
	@echo $(FW32_CFLAGS)

lint: check-layers ## layers, clang-format, clang-tidy, cppcheck, shellcheck
	$(Q)tools/lint

ci: ## what the server runs: lint, sanitizers, both compilers, all tests
	$(Q).ci/run

size: all ## print the sizes of program and library and count the public symbols
	$(Q)$(MAKE) -s --no-print-directory STATIC=1 BUILD=$(BUILD)/static $(BUILD)/static/lacuna
	$(Q)tools/size

# --- installation --------------------------------------------------------------------------------------------------------
man: $(man_page) ## build the manual pages (needs scdoc)

$(BUILD)/man/%: man/%.scd
	$(say) MAN $@
	@mkdir -p $(@D)
	$(Q)scdoc < $< > $@

# A package is named only where it exists, or every use of ours would fail.
pc_requires := $(shell for p in $(lib_packages); do $(PKG_CONFIG) --exists $$p 2>/dev/null && echo $$p; done)
pc_libs := $(filter-out $(shell $(PKG_CONFIG) --libs-only-l $(pc_requires) 2>/dev/null),$(lib_names))

# Its text depends on where it is to be installed; its objects don't. A file made by root can be replaced by its user.
$(BUILD)/lacuna.pc: lacuna.pc.in FORCE
	@mkdir -p $(@D)
	$(Q)sed -e 's|@prefix@|$(prefix)|' -e 's|@exec_prefix@|$(patsubst $(prefix)%,$${prefix}%,$(exec_prefix))|' \
		-e 's|@libdir@|$(patsubst $(exec_prefix)/%,$${exec_prefix}/%,$(libdir))|' \
		-e 's|@includedir@|$(patsubst $(prefix)/%,$${prefix}/%,$(includedir))|' -e 's|@version@|$(VERSION)|' \
		-e 's|@requires@|$(pc_requires)|' -e 's|@libs@|$(pc_libs)|' $< > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv -f $@.new $@; fi
# rows of MODE|FILE|TARGET: what `install` puts there and `uninstall` takes away
place = $(foreach f,$(2),$(1)|$(f)|$(3)/$(notdir $(f)))
installed := \
	$(call place,755,$(BUILD)/lacuna,$(bindir)) \
	$(call place,755,$(BUILD)/$(shared),$(libdir)) \
	$(call place,link,$(BUILD)/$(soname) $(BUILD)/liblacuna.so,$(libdir)) \
	$(call place,644,$(BUILD)/liblacuna.a,$(libdir)) \
	$(call place,644,$(BUILD)/lacuna.pc,$(pkgconfigdir)) \
	$(call place,644,$(sort $(wildcard include/lacuna/*.h)),$(includedir)/lacuna) \
	$(foreach m,$(man_page),$(call place,644,$(m),$(mandir)/man$(subst .,,$(suffix $(m))))) \
	644|completions/lacuna.bash|$(bashcompletiondir)/lacuna \
	$(call place,644,completions/_lacuna,$(zshcompletiondir)) \
	$(call place,644,README.md CHANGELOG.md LICENSE,$(docdir)) \
	$(call place,644,$(sort $(wildcard docs/*.md docs/*.json)),$(docdir)/docs) \
	$(call place,644,$(sort $(wildcard docs/bench/*.svg)),$(docdir)/docs/bench) \
	$(call place,644,$(sort $(wildcard examples/*.[ch] examples/*.md)),$(docdir)/examples) \
	$(call place,644,$(example_guest_src),$(docdir)/examples/guest)
define newline


endef
row = $(word $(1),$(subst |, ,$(2)))
install_row = $(if $(filter link,$(call row,1,$(1))),cp -P --remove-destination $(call row,2,$(1)) "$(DESTDIR)$(call row,3,$(1))",\
	$(INSTALL) -m $(call row,1,$(1)) $(call row,2,$(1)) "$(DESTDIR)$(call row,3,$(1))")
folders := $(sort $(foreach r,$(installed),$(patsubst %/,%,$(dir $(call row,3,$(r))))))

install: all man $(BUILD)/lacuna.pc ## install below $(DESTDIR)$(prefix) what was built, with the flags it was built with
	$(INSTALL) -d $(foreach f,$(folders),"$(DESTDIR)$(f)")
	$(foreach r,$(installed),$(call install_row,$(r))$(newline)	)

uninstall: ## remove what install put there, and folders of our own that are then empty
	rm -f $(foreach r,$(installed),"$(DESTDIR)$(call row,3,$(r))")
	for folder in $(docdir)/examples/guest $(docdir)/examples $(docdir)/docs/bench $(docdir)/docs $(docdir) $(includedir)/lacuna; do \
		[ ! -d "$(DESTDIR)$$folder" ] || rmdir --ignore-fail-on-non-empty "$(DESTDIR)$$folder"; done

clean: ## remove the build folder
	rm -rf $(BUILD)

.PHONY: flags-hosted flags-guest flags-guest32 all help man size tests setup guest-kernel run bench check check-unit check-direct check-nested check-cli check-api check-embed \
	check-layers lint ci install uninstall clean FORCE

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
