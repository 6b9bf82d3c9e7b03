/* The guest of the KVM probe: ring-0 speed, exceptions through the IDT, ring 0 to 3 and back three ways. */
#include "kvm_probe_guest.h"

	.section .rodata
	.globl kvm_probe_guest, kvm_probe_guest_end
	.globl kvm_probe_ud, kvm_probe_bp, kvm_probe_pf, kvm_probe_int80, kvm_probe_syscall, kvm_probe_unexpected

kvm_probe_guest:
	dec	%rdi
	jnz	kvm_probe_guest
	out	%al, $PROBE_PORT_LOOP

	xor	%ebx, %ebx
	ud2
	cmp	$1, %ebx
	jne	kvm_probe_unexpected
	out	%al, $PROBE_PORT_UD

	int3
	cmp	$2, %ebx
	jne	kvm_probe_unexpected
	out	%al, $PROBE_PORT_BP

	pushq	$PROBE_USER_DS
	pushq	$PROBE_USER_STACK
	pushq	$0x3002			/* IOPL 3: ring 3 may say how far it came */
	pushq	$PROBE_USER_CS
	lea	user(%rip), %rax
	push	%rax
	iretq

user:
	int	$0x80
	cmp	$3, %ebx
	jne	kvm_probe_unexpected
	out	%al, $PROBE_PORT_RING3
	mov	$PROBE_HOLE, %edx
	mov	(%rdx), %al		/* two bytes long */
	cmp	$4, %ebx
	jne	kvm_probe_unexpected
	out	%al, $PROBE_PORT_PF
	syscall

kvm_probe_unexpected:
	out	%al, $PROBE_PORT_UNEXPECTED
	jmp	kvm_probe_unexpected

kvm_probe_ud:
	inc	%ebx
	addq	$2, (%rsp)
	iretq

kvm_probe_bp:
	inc	%ebx
	iretq

kvm_probe_int80:
	cmpq	$PROBE_USER_CS, 8(%rsp)
	jne	kvm_probe_unexpected
	inc	%ebx
	iretq

kvm_probe_pf:
	cmpq	$4, (%rsp)		/* error code: a read by ring 3 of what is not present */
	jne	kvm_probe_unexpected
	mov	%cr2, %rcx
	cmp	$PROBE_HOLE, %ecx
	jne	kvm_probe_unexpected
	add	$8, %rsp
	inc	%ebx
	addq	$2, (%rsp)
	iretq

kvm_probe_syscall:
	out	%al, $PROBE_PORT_DONE
	jmp	kvm_probe_unexpected

kvm_probe_guest_end:

	.section .note.GNU-stack, "", @progbits
