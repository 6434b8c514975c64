// SPDX-License-Identifier: Apache-2.0
/* Binary parts of the monitor, from the build folder; see blobs.h. */
	.section .rodata
	.balign	16
	.globl	boot_dsdt_start, boot_dsdt_end
	.hidden	boot_dsdt_start, boot_dsdt_end
boot_dsdt_start:
	.incbin	"acpi/dsdt.aml"
boot_dsdt_end:

	.section .note.GNU-stack, "", @progbits
