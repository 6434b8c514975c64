// SPDX-License-Identifier: Apache-2.0
/* Binary parts of the monitor, from the build folder; see blobs.h. */
	.section .rodata
	.balign	16
	.globl	boot_dsdt_start, boot_dsdt_end
	.hidden	boot_dsdt_start, boot_dsdt_end
boot_dsdt_start:
	.incbin	"acpi/dsdt.aml"
boot_dsdt_end:

	.balign	16
	.globl	boot_probe_start, boot_probe_end
	.hidden	boot_probe_start, boot_probe_end
boot_probe_start:
	.incbin	"firmware/probe.stripped"
boot_probe_end:

	.section .note.GNU-stack, "", @progbits
