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

CODE(code_int80):
  int $0x80
  .globl code_int80_end
code_int80_end:
  hlt

  .globl guest_end
guest_end:
  .section .note.GNU-stack, "", @progbits
