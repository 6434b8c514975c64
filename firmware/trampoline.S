// SPDX-License-Identifier: Apache-2.0
/*
 * Where a processor lands after a start-up IPI (Intel SDM volume 3, 9.4.4): real mode, CS base =
 * vector << 12. Copied to SMP_TRAMPOLINE by smp.c, which fills in CR3. It climbs to long
 * mode, takes the next number and that number's stack, and calls smp_enter().
 */
#define SMP_TRAMPOLINE 0x10000 /* as in smp.h */
#define AT(symbol)     (SMP_TRAMPOLINE + (symbol) - trampoline)

	.section .rodata
	.balign 16
	.globl trampoline
trampoline:
	.code16
	cli
	cld
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	trampoline_gdt - trampoline
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$0x08, $AT(protected)

	.code32
protected:
	mov	$0x18, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	%cr4, %eax
	or	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	AT(trampoline_cr3), %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	/* EFER */
	rdmsr
	or	$0x100, %eax		/* LME */
	wrmsr
	mov	%cr0, %eax
	or	$0x80000000, %eax	/* PG */
	mov	%eax, %cr0
	ljmp	$0x10, $AT(long_mode)

	.code64
long_mode:
	mov	$1, %edi
	lock xaddl %edi, smp_next
	mov	%edi, %eax
	shl	$12, %rax		/* SMP_STACK_SIZE */
	lea	smp_stacks(%rax), %rsp
	mov	$smp_enter, %eax
	call	*%rax
1:	hlt
	jmp	1b

	.balign 4
trampoline_cr3:
	.long	0
trampoline_gdt:
	.word	31
	.long	gdt
trampoline_end:

	.balign 4
	.globl trampoline_size
trampoline_size:
	.long	trampoline_end - trampoline
	.globl trampoline_cr3_at
trampoline_cr3_at:
	.long	trampoline_cr3 - trampoline

	.section .note.GNU-stack, "", @progbits
