# SPDX-License-Identifier: Apache-2.0
# `make help` lists what can be asked for. Everything is built below $(BUILD); the source tree is never written to.

BUILD   ?= build
prefix  ?= /usr/local
DESTDIR ?=
V       ?= 0
# one name for one folder, or dependencies recorded under another name are not found
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))
WERROR  ?= 0
STATIC  ?= 0
SANITIZE ?=

VERSION := 0.1.0

ifeq ($(origin CC),default)
CC := gcc
endif
AR       ?= ar
IASL     ?= iasl
OBJCOPY  ?= objcopy
PKG_CONFIG ?= pkg-config

# --- flags: ours first, the user's CFLAGS/LDFLAGS last, so that `make CFLAGS=-O0` keeps -std=c17 -------------------
CFLAGS  ?= -O2 -g
LDFLAGS ?=

LAC_CPPFLAGS := -D_GNU_SOURCE -Isrc -Iinclude -DLACUNA_VERSION_STRING='"$(VERSION)"'
LAC_CFLAGS := -std=c17 -pthread -fvisibility=hidden -fno-strict-aliasing \
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

ifeq ($(STATIC),1)
LAC_CFLAGS  += -fPIE
LAC_LDFLAGS += -static-pie
else
LAC_CFLAGS  += -fPIE
LAC_LDFLAGS += -pie
endif
ifeq ($(WERROR),1)
LAC_CFLAGS += -Werror
endif

JANSSON := $(shell $(PKG_CONFIG) --libs jansson 2>/dev/null || echo -ljansson)
URING := $(shell $(PKG_CONFIG) --libs liburing 2>/dev/null || echo -luring)
LAC_LIBS := $(JANSSON) $(URING)

# --- sources: sorted, found by folder -------------------------------------------------------------------------------
lib_src := $(sort $(wildcard src/util/*.c src/kvm/*.c src/loop/*.c src/mem/*.c src/backend/*.c src/bus/*.c \
	src/dev/*.c src/pci/*.c src/virtio/*.c src/boot/*.c src/arch/x86/*.c src/machine/*.c src/api/*.c))
blob_src := $(sort $(wildcard src/boot/*.S))
cli_src := $(sort $(wildcard src/cli/*.c))
unit_src := $(sort $(wildcard tests/unit/*.c))
direct_src := $(sort $(wildcard tests/direct/*.c))
guest_src := $(sort $(wildcard tests/guest/*.c))
cli_test_src := $(sort $(wildcard tests/cli/*.c))
nested_test_src := $(sort $(wildcard tests/nested/*.c))
fw_lib_src := $(sort $(filter-out firmware/probe.c,$(wildcard firmware/*.c)) $(wildcard firmware/*.S))

lib_obj := $(lib_src:%.c=$(BUILD)/obj/%.o) $(blob_src:%.S=$(BUILD)/obj/%.o)
cli_obj := $(cli_src:%.c=$(BUILD)/obj/%.o)
unit_obj := $(unit_src:%.c=$(BUILD)/obj/%.o)
direct_obj := $(direct_src:%.c=$(BUILD)/obj/%.o)
fw_lib_obj := $(patsubst %,$(BUILD)/fw/%.o,$(basename $(fw_lib_src)))
cli_test_bin := $(cli_test_src:%.c=$(BUILD)/%)
nested_test_bin := $(nested_test_src:%.c=$(BUILD)/%)
guest_elf := $(guest_src:tests/guest/%.c=$(BUILD)/tests/guest/%.elf)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

all: $(BUILD)/lacuna ## build the program and the library (the default)

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20
	@echo
	@echo 'Variables: BUILD=dir CC=gcc|clang SANITIZE=address,undefined|thread STATIC=1 WERROR=1 V=1 prefix= DESTDIR='

# --- the library and the program -------------------------------------------------------------------------------------
$(BUILD)/liblacuna.a: $(lib_obj)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(lib_obj)

$(BUILD)/lacuna: $(cli_obj) $(BUILD)/liblacuna.a
	$(say) LINK $@
	$(Q)$(CC) $(LAC_CFLAGS) $(CFLAGS) $(LAC_LDFLAGS) $(LDFLAGS) -o $@ $(cli_obj) $(BUILD)/liblacuna.a $(LAC_LIBS)

# Recompiles when the flags change, so that a sanitizer build never mixes with a plain one in one folder.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(LAC_CPPFLAGS) $(LAC_CFLAGS) $(CFLAGS) $(LAC_LDFLAGS) $(LDFLAGS)' | cmp -s - $@ || \
	 echo '$(CC) $(LAC_CPPFLAGS) $(LAC_CFLAGS) $(CFLAGS) $(LAC_LDFLAGS) $(LDFLAGS)' > $@
FORCE:

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(LAC_CPPFLAGS) $(LAC_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Binary parts (the DSDT and the probe guest) are taken in by .incbin from the build folder.
$(BUILD)/obj/%.o: %.S $(BUILD)/flags $(BUILD)/acpi/dsdt.aml $(BUILD)/firmware/probe.elf
	$(say) AS $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(LAC_CPPFLAGS) $(LAC_CFLAGS) $(CFLAGS) -Wa,-I$(BUILD) -MMD -MP -c -o $@ $<

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

$(BUILD)/tests/guest/%.elf: $(BUILD)/fw/tests/guest/%.o $(fw_lib_obj) firmware/guest.ld
	$(fw_link)

# --- tests ---------------------------------------------------------------------------------------------------------------
# Criterion's runner can't live with ThreadSanitizer's memory layout: a header of the same interface takes its place.
CRITERION := -lcriterion
ifneq ($(findstring thread,$(SANITIZE)),)
CRITERION :=
shim_obj := $(BUILD)/obj/tests/shim/main.o
$(unit_obj) $(direct_obj) $(shim_obj): LAC_CPPFLAGS += -Itests/shim
endif

$(BUILD)/tests/unit.bin: $(unit_obj) $(shim_obj) $(BUILD)/liblacuna.a
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(LAC_CFLAGS) $(CFLAGS) $(LAC_LDFLAGS) $(LDFLAGS) -o $@ $(unit_obj) $(shim_obj) $(BUILD)/liblacuna.a $(CRITERION) $(LAC_LIBS)

$(BUILD)/tests/direct.bin: $(direct_obj) $(shim_obj) $(BUILD)/liblacuna.a
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(LAC_CFLAGS) $(CFLAGS) $(LAC_LDFLAGS) $(LDFLAGS) -o $@ $(direct_obj) $(shim_obj) $(BUILD)/liblacuna.a $(CRITERION) $(LAC_LIBS)

$(BUILD)/tests/cli/%: $(BUILD)/obj/tests/cli/%.o
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(LAC_CFLAGS) $(CFLAGS) $(LAC_LDFLAGS) $(LDFLAGS) -o $@ $<

$(BUILD)/tests/nested/%: $(BUILD)/obj/tests/nested/%.o $(BUILD)/liblacuna.a
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(LAC_CFLAGS) $(CFLAGS) $(LAC_LDFLAGS) $(LDFLAGS) -o $@ $^ $(LAC_LIBS)

tests: $(BUILD)/lacuna $(BUILD)/tests/unit.bin $(BUILD)/tests/direct.bin $(guest_elf) $(cli_test_bin) $(nested_test_bin) ## build every test program

setup: ## install what building, running and testing need (Debian packages)
	$(Q)tools/setup

run: ## install, build, boot the stock Debian guest and report
	$(Q)tools/setup
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) all
	$(Q)tools/run-stock

check: ## install, build and run every test; the last line counts them
	$(Q)tools/setup
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) tests
	$(Q)tests/run all

check-unit: $(BUILD)/tests/unit.bin ## unit tests only (no KVM, no root)
	$(Q)tests/run unit

check-direct: tests ## small guests on /dev/kvm only
	$(Q)tests/run direct

check-nested: tests ## stock guests only
	$(Q)tests/run nested

check-cli: tests ## black-box tests of the command line only
	$(Q)tests/run cli

check-layers: ## an #include may point to a lower layer only
	$(Q)tools/check-layers

flags-hosted: # for tools/lint
	@echo $(LAC_CPPFLAGS) -std=c17 -pthread

flags-guest:
	@echo $(FW_CFLAGS)

lint: check-layers ## layers, clang-format, clang-tidy, cppcheck, shellcheck
	$(Q)tools/lint

ci: ## what the server runs: lint, sanitizers, both compilers, all tests
	$(Q).ci/run

man: $(BUILD)/man/lacuna.1 ## build the manual page (needs scdoc)

$(BUILD)/man/%.1: man/%.1.scd
	$(say) MAN $@
	@mkdir -p $(@D)
	$(Q)scdoc < $< > $@

install: $(BUILD)/lacuna $(BUILD)/man/lacuna.1 ## install below $(DESTDIR)$(prefix)
	install -D -m 755 $(BUILD)/lacuna $(DESTDIR)$(prefix)/bin/lacuna
	install -D -m 644 $(BUILD)/liblacuna.a $(DESTDIR)$(prefix)/lib/liblacuna.a
	install -D -m 644 -t $(DESTDIR)$(prefix)/include/lacuna $(sort $(wildcard include/lacuna/*.h))
	install -D -m 644 $(BUILD)/man/lacuna.1 $(DESTDIR)$(prefix)/share/man/man1/lacuna.1
	install -D -m 644 -t $(DESTDIR)$(prefix)/share/doc/lacuna README.md CHANGELOG.md LICENSE

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(prefix)/bin/lacuna $(DESTDIR)$(prefix)/share/man/man1/lacuna.1
	rm -f $(DESTDIR)$(prefix)/lib/liblacuna.a
	rm -rf $(DESTDIR)$(prefix)/include/lacuna $(DESTDIR)$(prefix)/share/doc/lacuna

clean: ## remove the build folder
	rm -rf $(BUILD)

.PHONY: flags-hosted flags-guest all help man tests setup run check check-unit check-direct check-nested check-cli check-layers lint ci install uninstall clean FORCE

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
