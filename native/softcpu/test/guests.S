/* Guest code: copied to GUEST_CODE as a whole, so everything is relative to RIP. */
#define EXIT_PORT 0xe9

  .section .rodata.guest, "a"
  .code64
  .balign 4096
  .globl guest_begin
guest_begin:

/* Entry stubs of the 256 vectors, 16 bytes each. The frame is as in struct frame of harness.h. */
  .globl guest_vectors
guest_vectors:
  .set vector, 0
  .rept 256
  .balign 16
  .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
  .else
  push $0
  .endif
  push $vector
  jmp trap
  .set vector, vector + 1
  .endr

  .balign 16
trap:
  out %al, $EXIT_PORT
  .globl guest_trap_exit
guest_trap_exit:
  add $16, %rsp
  iretq

/* A snippet; every one ends in an exit or a trap. */
#define CODE(name) .balign 16; .globl name; name

CODE(code_exit):
  out %al, $EXIT_PORT
  hlt

CODE(code_add):
  mov $40, %rax
  add $2, %rax
  out %al, $EXIT_PORT
  .globl code_add_end
code_add_end:
  hlt

/* A label within a snippet that a test compares RIP with. */
#define MARK(name) .globl name; name

/* --- exceptions --- */
CODE(code_int80):
  int $0x80
MARK(code_int80_end):
  hlt
CODE(code_int81):
  int $0x81
  hlt
CODE(code_int82):
  int $0x82
  hlt
CODE(code_int3):
  int3
MARK(code_int3_end):
  hlt
CODE(code_int1):
  .byte 0xf1
MARK(code_int1_end):
  nop
CODE(code_iret32):            /* to RSI with flags EDI, 32 bits each */
  lea -64(%rsp), %rax
  sub $20, %rsp
  mov %esi, (%rsp)
  movl $0x3b, 4(%rsp)
  mov %edi, 8(%rsp)
  mov %eax, 12(%rsp)
  movl $0x33, 16(%rsp)
  iretl
CODE(code_lock_bt):
  .byte 0xf0, 0x0f, 0xa3, 0x07
  hlt
CODE(code_lock_bts_register):
  .byte 0xf0, 0x0f, 0xab, 0xf0
  hlt
CODE(code_lock_btr_register):
  .byte 0xf0, 0x48, 0x0f, 0xba, 0xf0, 3
  hlt
CODE(code_lock_bts):
  lock btsq $3, (%rdi)
  int $0x80
CODE(code_ud2):
  ud2
CODE(code_divide):
  xor %ecx, %ecx
  mov $1, %eax
  xor %edx, %edx
MARK(code_divide_at):
  div %ecx
CODE(code_gp):
  mov $0x800000000000, %rax
MARK(code_gp_at):
  mov (%rax), %rcx
CODE(code_read):             /* from RDI */
  mov (%rdi), %rax
  out %al, $EXIT_PORT
CODE(code_write):            /* EAX to RDI */
  mov %eax, (%rdi)
  out %al, $EXIT_PORT
CODE(code_jump):             /* to RDI */
  jmp *%rdi
CODE(code_load_ds):          /* selector in EAX */
  mov %eax, %ds
  out %al, $EXIT_PORT
CODE(code_load_ss):
  mov %eax, %ss
  out %al, $EXIT_PORT
CODE(code_x87):              /* 0 / 0, unmasked */
  fninit
  fldcw x87_control(%rip)
  fldz
  fldz
  fdivrp
MARK(code_x87_at):
  fwait
x87_control:
  .word 0x340
CODE(code_fpu):
  fld1
  out %al, $EXIT_PORT
CODE(code_cli):
  cli
  out %al, $EXIT_PORT
CODE(code_hlt):
  hlt
MARK(code_hlt_end):
  out %al, $EXIT_PORT
CODE(code_in):               /* port in DX */
  in %dx, %al
  in %dx, %eax
MARK(code_in_end):
  int $0x80
CODE(code_inw):
  xor %eax, %eax
  in %dx, %ax
  int $0x80
CODE(code_out):
  out %al, %dx
MARK(code_out_end):
  int $0x80
CODE(code_mov_cr3):
  mov %cr3, %rax
  mov %rax, %cr3
CODE(code_wrmsr):            /* EDX:EAX to ECX, then back */
  wrmsr
  xor %eax, %eax
  xor %edx, %edx
  rdmsr
  out %al, $EXIT_PORT
CODE(code_rdmsr):
  rdmsr
  out %al, $EXIT_PORT
CODE(code_lgdt):
  lgdt (%rdi)
CODE(code_invlpg):
  invlpg (%rdi)
CODE(code_lldt):             /* AX */
  lldt %ax
  mov $4 | 0 << 3, %ecx      /* the first descriptor of the LDT */
  mov %ecx, %fs
  mov %fs:0, %rax
  out %al, $EXIT_PORT

/* --- interrupts --- */
CODE(code_spin):
  inc %rbx
  jmp code_spin
CODE(code_sti_spin):
  sti
MARK(code_sti_shadow):
  inc %rbx
MARK(code_sti_after):
  inc %rbx
  jmp code_sti_after
CODE(code_popf_spin):
  push $0x202
  popfq
1:
  inc %rbx
  jmp 1b
CODE(code_mov_ss_shadow):
  xor %ebx, %ebx
  push %rax
  push $0x202
  mov %ss, %eax
  popfq                      /* IF=1; an interrupt may come right after it */
  hlt
CODE(code_sti_mov_ss):       /* mov ss holds interrupts off for one instruction more */
  mov %ss, %eax
  sti
  mov %eax, %ss
MARK(code_ss_shadow):
  inc %rbx
MARK(code_ss_after):
  inc %rbx
  jmp code_ss_after
CODE(code_sti_hlt):
  sti
  hlt
MARK(code_sti_hlt_end):
  out %al, $EXIT_PORT
CODE(code_iretq_frame):      /* to the frame that RSP points to */
  iretq

/* Counts to RCX with a lock that must always be free: an instruction that is done twice finds it taken. */
CODE(code_lock_storm):
  mov $1, %edx
1:
  xor %eax, %eax
  lock cmpxchg %edx, (%rdi)
  jne 2f
  movb $0, (%rdi)
  lock xadd %r9, (%rsi)      /* adds 1 */
  mov $1, %r9d
  dec %rcx
  jnz 1b
  out %al, $EXIT_PORT
2:
  mov $0xbad, %r8d
  out %al, $EXIT_PORT

/* --- system calls --- */
CODE(code_syscall):
  syscall
MARK(code_syscall_end):
  int $0x80
CODE(code_syscall_entry):    /* what LSTAR names */
  out %al, $EXIT_PORT
  sysretq
CODE(code_sysretl):
  sysretl
CODE(code_syscall_loop):     /* RBX times, in ring 3; the entry is below */
  syscall
  dec %rbx
  jnz code_syscall_loop
  int $0x80
CODE(code_iretq_entry):      /* ring 0: returns as the monitor does */
  swapgs
  mov %rsp, %gs:0
  mov %gs:8, %rsp
  push $0x33
  push %gs:0
  push %r11
  push $0x3b
  push %rcx
  swapgs
  iretq
CODE(code_swapgs):
  swapgs
  mov %gs:0, %rax
  out %al, $EXIT_PORT
CODE(code_gs_fs):            /* reads both */
  mov %gs:0, %rax
  mov %fs:0, %rbx
  int $0x80

/* --- XSAVE --- */
CODE(code_xsetbv):           /* XCR0 = EDX:EAX */
  xor %ecx, %ecx
  xsetbv
  xgetbv
  out %al, $EXIT_PORT
CODE(code_xsave):            /* to RDI, wipe, and back from there */
  mov $3, %eax
  xor %edx, %edx
  fninit
  fld1
  mov $0x1234567890abcdef, %rbx
  movq %rbx, %xmm7
  xsave (%rdi)
  fninit
  xorps %xmm7, %xmm7
  mov $3, %eax
  xrstor (%rdi)
  movq %xmm7, %rbx
  fstpl (%rsi)
  out %al, $EXIT_PORT
CODE(code_fpu_state):        /* as it is: FXSAVE to RDI */
  fxsave (%rdi)
  out %al, $EXIT_PORT

/* --- debugging --- */
CODE(code_steps):
  nop
MARK(code_step1):
  nop
MARK(code_step2):
  nop
MARK(code_step3):
  jmp code_steps
CODE(code_watched):
  movl $1, 8(%rdi)
MARK(code_watched_1):
  movl $2, (%rdi)
MARK(code_watched_2):
  mov (%rdi), %eax
MARK(code_watched_3):
  int $0x80

CODE(code_watched_push):      /* reads at RDI, then writes at RSP */
  pushq (%rdi)
  hlt

/* --- memory --- */
CODE(code_patch_itself):     /* rewrites the constant of the very next instruction */
  movb $7, 1f + 1(%rip)
1:
  mov $1, %eax
  out %al, $EXIT_PORT
CODE(code_patch_loop):       /* a function rewritten RCX times; sums what it returns */
  xor %ebx, %ebx
1:
  mov %cl, 2f + 1(%rip)
  call 2f
  add %rax, %rbx
  dec %rcx
  jnz 1b
  out %al, $EXIT_PORT
  .balign 64
2:
  mov $0, %eax
  ret
CODE(code_rep_movsb):
  rep movsb
  int $0x80
CODE(code_rep_movsw):
  rep movsw
  int $0x80
CODE(code_rep_movsl):
  rep movsl
  int $0x80
CODE(code_rep_movsq):
  rep movsq
  int $0x80
  .irp size, b, w, l, q
CODE(code_rep_stos\size):
  rep stos\size
  int $0x80
  .endr
CODE(code_rep_movsb_fs):
  rep movsb %fs:(%rsi), %es:(%rdi)
  int $0x80
CODE(code_rep_movsb_32):
  addr32 rep movsb
  int $0x80
CODE(code_cpuid):            /* EAX, ECX */
  cpuid
  out %al, $EXIT_PORT
CODE(code_rdtsc):
  rdtsc
  out %al, $EXIT_PORT
CODE(code_remap):            /* PTE at RSI becomes RDX, then the page at RDI is called */
  call *%rdi
  mov %rax, %rbx
  mov %rdx, (%rsi)
  invlpg (%rdi)
  call *%rdi
  out %al, $EXIT_PORT
/* Functions at RDI, each after an exit and mov cr3 or invlpg; in ring 3 between system calls. */
CODE(code_serve_kernel):
  out %al, $EXIT_PORT
  mov %cr3, %rdx
  mov %rdx, %cr3
  call *%rdi
  jmp code_serve_kernel
CODE(code_serve_invlpg):
  out %al, $EXIT_PORT
  invlpg (%rdi)
  call *%rdi
  jmp code_serve_invlpg
CODE(code_serve_user):
  syscall
  call *%rdi
  jmp code_serve_user
CODE(code_serve_entry):
  out %al, $EXIT_PORT
  mov %cr3, %rdx
  mov %rdx, %cr3
  sysretq
CODE(code_return_1):
  mov $1, %eax
  ret
  .balign 16
CODE(code_call):             /* RDI */
  call *%rdi
  out %al, $EXIT_PORT
  jmp code_call
#include "rounds.inc"
  .globl guest_end
guest_end:
  .section .note.GNU-stack, "", @progbits
