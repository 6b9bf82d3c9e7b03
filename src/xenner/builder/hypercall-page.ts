/** The stubs that kernels call instead of issuing `syscall` themselves; xen/arch/x86/pv/hypercall.c. */
import { __HYPERVISOR_iret } from '../abi/xen.js';
import { PAGE_BYTES } from './page-tables.js';

const STUB_BYTES = 32;
const INT3 = 0xcc;

/** One page: hypercall n at n * 32. rcx and r11, which syscall overwrites, are kept for the caller. */
export function hypercallPage(): Uint8Array {
  const page = Buffer.alloc(PAGE_BYTES, INT3);
  for (let call = 0; call < PAGE_BYTES / STUB_BYTES; call++) {
    (call === __HYPERVISOR_iret ? iretStub() : stub(call)).copy(page, call * STUB_BYTES);
  }
  return page;
}

function stub(call: number): Buffer {
  // push %rcx; push %r11; mov $call,%eax; syscall; pop %r11; pop %rcx; ret
  return Buffer.from([0x51, 0x41, 0x53, ...mov(call), 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3]);
}

/** Jumped to, never returned from: it completes the frame (struct iret_context) that the guest has begun. */
function iretStub(): Buffer {
  // push %rcx; push %r11; push %rax; mov $23,%eax; syscall
  return Buffer.from([0x51, 0x41, 0x53, 0x50, ...mov(__HYPERVISOR_iret), 0x0f, 0x05]);
}

function mov(call: number): number[] {
  return [0xb8, call, 0, 0, 0];
}
