/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header and entry of a multiboot kernel (Multiboot 0.6.96, 3.1). With ADDRESSES, the header says
 * itself what goes where, for a file that is nothing else. The stack is our own business (3.2).
 */
#define MAGIC 0x1badb002
#ifdef ADDRESSES
#define FLAGS 0x10003
#else
#define FLAGS 0x3
#endif

	.section .text.header, "a"
	.balign 4
header:
	.long	MAGIC, FLAGS, -(MAGIC + FLAGS)
	.long	header, image_start, image_end, memory_end, _start

	.text
	.globl _start
_start:
	mov	$stack_top, %esp
	pushf
	push	%ebx
	push	%eax
	call	start
1:	hlt
	jmp	1b

#ifdef PVH
/* Xen, public/elfnote.h: where a kernel is entered by PVH, before any other way in. */
#define XEN_ELFNOTE_PHYS32_ENTRY 18

start_by_pvh:
	mov	$stack_top, %esp
	pushf
	push	%ebx
	call	start_pvh
1:	hlt
	jmp	1b

	.section .note.Xen, "a", @note
	.balign 4
	.long	4, 4, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.long	start_by_pvh
#endif

	.bss
	.balign 16
	.skip	8192
stack_top:

	.section .note.GNU-stack, "", @progbits
