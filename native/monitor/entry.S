/* Ways into the monitor: 256 IDT entry points, SYSCALL, and the way back. */
#include "vcpu_area.h"
#include "offsets.h"

#define __HYPERVISOR_iret 23
#define VGCF_in_syscall 0x100

        .code64
        .section .text.start, "ax"
header:
        .quad MONITOR_MAGIC
        .quad vectors - header
        .quad stub - header
        .quad stub_end - stub
        .quad stub_compat - stub
        .quad image_end - header

        .balign 16
vectors:
        .set vector, 0
        .rept 256
        .balign 16
        /* #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX push an error code themselves. */
        .if !((vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || \
              (vector == 29) || (vector == 30))
        pushq $0
        .endif
        pushq $vector
        .if (vector == 1) || (vector == 2) || (vector == 8) || (vector == 18) || \
            ((vector >= FIRST_INTERRUPT) && (vector != INT80_VECTOR))
        jmp common_other_stack
        .else
        jmp common
        .endif
        .set vector, vector + 1
        .endr

        .macro save_regs
        pushq %rdi
        pushq %rsi
        pushq %rdx
        pushq %rcx
        pushq %rax
        pushq %r8
        pushq %r9
        pushq %r10
        pushq %r11
        pushq %rbx
        pushq %rbp
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        .endm

        .balign 16
/* SYSCALL, on the monitor's stack, with ss and rsp pushed. */
syscall_slow:
        pushq %r11
        pushq $SEL_USER_CS64
        pushq %rcx
        pushq $0
        pushq $VECTOR_SYSCALL
        jmp common
syscall_compat_slow:
        pushq %r11
        pushq $SEL_USER_CS32
        pushq %rcx
        pushq $0
        pushq $VECTOR_SYSCALL_COMPAT
common:
        cld
        save_regs
        movq %rsp, %rdi
        testb $3, REGS_cs(%rsp)
        jz fault_inside
        call trap_entry
restore:
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbp
        popq %rbx
        popq %r11
        popq %r10
        popq %r9
        popq %r8
        popq %rax
        popq %rcx
        popq %rdx
        popq %rsi
        popq %rdi
        addq $16, %rsp
        .globl iretq_to_guest
iretq_to_guest:
        iretq
/* What has a stack of its own, as it may come in the stub while the stack is still the user's. */
common_other_stack:
        cld
        save_regs
        movq %rsp, %rdi
        testb $3, REGS_cs(%rsp)
        jz fault_inside
        call to_main_stack
        movq %rax, %rsp
        movq %rax, %rdi
        call trap_entry
        jmp restore
/* A trap in ring 0: trap_inside fixes it up or gives up; it returns the frame to restore. */
fault_inside:
        call trap_inside
        movq %rax, %rsp
        jmp restore

/*
 * Copied to BLOCK_STUB of every vCPU, so that SYSCALL finds its vCPU without swapgs. The two ways that a busy guest
 * takes most are done here whole: a user's syscall bounced to the kernel, and the kernel's iret hypercall. Whatever
 * is unusual goes to the C code with nothing changed. The code reaches its vCPU from the stack's top.
 */
#define AREA(field) (BLOCK_VCPU_AREA - BLOCK_STACK_TOP + VCPU_##field)
#define EFLAGS_NOT_FROM_GUEST 0x23000 /* VM IOPL: do_iret (xen/arch/x86/pv/iret.c) */
#define EFLAGS_IF_AND_FIXED 0x202
#define EFLAGS_NOT_BY_SYSRET 0x14100 /* RF NT TF */

        .macro enter_stack
        movq %rsp, stub - BLOCK_STUB + BLOCK_VCPU_AREA + VCPU_scratch(%rip)
        leaq stub - BLOCK_STUB + BLOCK_STACK_TOP(%rip), %rsp
        .endm

        .balign 16
        .globl stub
stub:
        enter_stack
entered:
        cmpb $0, AREA(user)(%rsp)
        je from_kernel

/*
 * A user's syscall: the frame of create_bounce_frame for the syscall callback, which finds rcx and r11 on its stack and
 * nothing in the registers. LRETQ costs less than IRETQ but leaves the flags as they are: so SYSCALL clears what
 * create_bounce_frame clears, and not IF. An interrupt that comes meanwhile takes all of this back and has the C code do it.
 */
        movq %rax, AREA(scratch_rax)(%rsp)
        movq %rcx, AREA(scratch_rcx)(%rsp)
user_saved:
        movq AREA(vcpu_info)(%rsp), %rax
        cmpw $0, (%rax)                 /* evtchn_upcall_pending, evtchn_upcall_mask */
        jne user_slow
        cmpq $0, AREA(syscall_callback)(%rsp)
        je user_slow
        movq AREA(kernel_sp)(%rsp), %rax
        andq $~15, %rax
        subq $7*8, %rax
        movq %rcx, 0*8(%rax)
        movq %r11, 1*8(%rax)
        movq %rcx, 2*8(%rax)
        movq $SEL_USER_CS64, 3*8(%rax)
        movq %r11, 4*8(%rax)
        movq $SEL_USER_DS, 6*8(%rax)
        movq AREA(scratch)(%rsp), %rcx
        movq %rcx, 5*8(%rax)
        movb $0, AREA(user)(%rsp)
        swapgs
user_swapped:
        testb $1, AREA(syscall_flags)(%rsp)
        jz 1f
        movq AREA(vcpu_info)(%rsp), %rcx
        movb $1, 1(%rcx)
1:      pushq $SEL_KERNEL_SS
        pushq %rax
        movq AREA(scratch_rax)+2*8(%rsp), %rax
        pushq $SEL_KERNEL_CS
        pushq AREA(syscall_callback)+3*8(%rsp)
        lretq
user_end:

/* The kernel: iret is a hypercall (struct iret_context in public/arch-x86/xen-x86_64.h), whose frame gives all registers. */
from_kernel:
        cli
from_kernel_begin:
        cmpq $__HYPERVISOR_iret, %rax
        jne slow
        testb $DOMAIN_FAST_PATHS, AREA(fast_paths)(%rsp)
        jz slow
        movq AREA(scratch)(%rsp), %rax
iret_begin:
        testb $0, (%rax)                /* the frame may lie in two pages; the far end is read before anything changes */
        movq 6*8(%rax), %r11
        btl $9, %r11d
        jnc iret_slow                   /* events stay masked */
        movq AREA(vcpu_info)(%rsp), %rcx
        movb $0, 1(%rcx)                /* unmask first: an event that comes now is injected, one that came is seen */
        cmpb $0, (%rcx)
        jne iret_slow                   /* to be delivered on the way */
        andl $~EFLAGS_NOT_FROM_GUEST, %r11d
        orl $EFLAGS_IF_AND_FIXED, %r11d
        movl 5*8(%rax), %ecx
        cmpl AREA(sysret_cs)(%rsp), %ecx
        jne other_cs
        movl 8*8(%rax), %ecx
        cmpl AREA(sysret_ss)(%rsp), %ecx
        jne iret_slow
        /* The end of a system call: SYSRET, if it can load all that the frame asks for. */
        testl $EFLAGS_NOT_BY_SYSRET, %r11d
        jnz user_by_iretq
        cmpl $0x7fff, 4*8+4(%rax)       /* a rip beyond the user half might fault in ring 0 */
        ja user_by_iretq
        movq 4*8(%rax), %rcx
        testb $(VGCF_in_syscall >> 8), 3*8+1(%rax)
        jnz 1f
        cmpq %rcx, 2*8(%rax)
        jne user_by_iretq
        cmpq %r11, 1*8(%rax)
        jne user_by_iretq
1:      movb $1, AREA(user)(%rsp)
        pushq 7*8(%rax)
        movq (%rax), %rax
        swapgs
        popq %rsp
        sysretq
other_cs:
        notl %ecx
        testb $3, %cl
        jz iret_slow                    /* another user segment: C looks whether SYSRET can have it from now on */
        testw $0xfffc, 8*8(%rax)
        jz iret_slow                    /* a null ss: #GP */
        pushq $SEL_KERNEL_SS
        pushq 7*8(%rax)
        pushq %r11
        pushq $SEL_KERNEL_CS
        pushq 4*8(%rax)
        jmp to_guest
user_by_iretq:
        pushq 8*8(%rax)
        pushq 7*8(%rax)
        pushq %r11
        pushq 5*8(%rax)
        pushq 4*8(%rax)
        movb $1, AREA(user)+5*8(%rsp)
        swapgs
to_guest:
        testb $(VGCF_in_syscall >> 8), 3*8+1(%rax)
        jnz 2f
        movq 2*8(%rax), %rcx
        movq 1*8(%rax), %r11
        movq (%rax), %rax
iret_end:
stub_iretq_1:
        iretq
2:      movq (%rsp), %rcx               /* as SYSRET leaves them */
        movq (%rax), %rax
stub_iretq_2:
        iretq

iret_slow:
        leaq stub - BLOCK_STUB + BLOCK_STACK_TOP(%rip), %rsp
        movl $__HYPERVISOR_iret, %eax
        jmp slow

user_undo:
        swapgs
        movq stub - BLOCK_STUB + BLOCK_VCPU_AREA + VCPU_vcpu_info(%rip), %rax
        movb $0, 1(%rax)
user_slow:
        leaq stub - BLOCK_STUB + BLOCK_STACK_TOP(%rip), %rsp
        movb $1, AREA(user)(%rsp)
        movq AREA(scratch_rcx)(%rsp), %rcx
        movq AREA(scratch_rax)(%rsp), %rax
slow:
        cli
        pushq $SEL_USER_DS
        pushq stub - BLOCK_STUB + BLOCK_VCPU_AREA + VCPU_scratch(%rip)
        jmp *slow_target(%rip)
        .balign 16
        .globl stub_slow
/* LSTAR of a vCPU that a debugger steps: no way by the C code, where it stops. */
stub_slow:
        cli
        enter_stack
        jmp slow
        .balign 16
stub_compat:
        cli
        enter_stack
        pushq $SEL_USER_DS
        pushq stub - BLOCK_STUB + BLOCK_VCPU_AREA + VCPU_scratch(%rip)
        jmp *compat_target(%rip)
        .balign 8
slow_target:
        .quad syscall_slow
compat_target:
        .quad syscall_compat_slow
stub_end:

        .section .rodata
        .balign 8
/*
 * Where the stub goes on, without interrupts, after a fault or an interrupt: offsets, begin, end, fixup. What begins
 * with CLI begins again. Zero ends the table.
 */
        .globl stub_fixups
        .macro fixup begin, end, to
        .long \begin - stub, \end - stub, \to - stub
        .endm
stub_fixups:
        fixup stub, entered, stub_slow
        fixup entered, user_saved, slow
        fixup user_saved, user_swapped, user_slow
        fixup user_swapped, user_end, user_undo
        fixup from_kernel, from_kernel_begin, slow
        fixup iret_begin, iret_end, iret_slow
        fixup user_slow, slow, user_slow
        fixup slow, slow + 1, slow
        fixup stub_slow, stub_slow + 1, stub_slow
        fixup stub_compat, stub_compat + 1, stub_compat
        .long 0, 0, 0
/* The iretq instructions that load what the guest chose. */
        .globl stub_iretqs
stub_iretqs:
        .long stub_iretq_1 - stub, stub_iretq_2 - stub, 0

        .section .note.GNU-stack, "", @progbits
