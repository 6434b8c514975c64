// SPDX-License-Identifier: Apache-2.0
/*
 * Entry of a freestanding guest (Linux Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"):
 * long mode, the first 4 GiB mapped one to one, CS and DS as below, RSI = boot_params. The
 * selectors keep the numbers that the protocol fixes, so nothing has to be reloaded.
 */
	.section .text.start, "ax"
	.code64
	.globl _start
_start:
	cli
	cld
	lea	stack_top(%rip), %rsp
	lgdt	gdt_pointer(%rip)
	mov	%rsi, %rdi
	xor	%ebp, %ebp
	call	guest_start
1:	hlt
	jmp	1b

	.data
	.balign 8
	.globl gdt
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 0x08: 32-bit code, for the processors that start in real mode */
	.quad	0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: data */
gdt_end:
	.globl gdt_pointer
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

	.bss
	.balign 16
	.skip	32768
stack_top:

	.section .note.GNU-stack, "", @progbits
