// A 16-bit guest that prints a line through a port. It runs on a thread of its own: the event loop stays free.
import { GuestMemory, gpa, Kvm } from 'xenner/kvm';

const CODE = 0x1000;
const code = Buffer.concat([
  Buffer.from(
    [
      'be 0f10', //       mov  $message, %si
      'ba f803', //       mov  $0x3f8, %dx
      'ac     ', // next: lodsb
      '84 c0  ', //       test %al, %al
      '74 03  ', //       jz   done
      'ee     ', //       out  %al, %dx
      'eb f8  ', //       jmp  next
      'f4     ', // done: hlt
    ]
      .join('')
      .replaceAll(' ', ''),
    'hex',
  ),
  Buffer.from('Hello from real mode\n\0'), // message, at 0x100f
]);

const kvm = new Kvm();
const vm = kvm.createVm();
const memory = GuestMemory.create(64 * 1024);
memory.copyIn(gpa(CODE), code);
vm.setMemory({ slot: 0, address: 0, memory });
// Intel's processors run real mode with the help of these three pages.
vm.setTssAddr(0xfffb_d000);

// A new vCPU is in real mode, with CS where a processor starts.
const vcpu = vm.createVcpu(0);
vcpu.setSregs({ cs: { base: 0n, selector: 0 } });
vcpu.setRegs({ rip: BigInt(CODE), rflags: 2n });

for (;;) {
  const exit = await vcpu.runAsync();
  if (exit.exit_reason === 'KVM_EXIT_HLT') break;
  if (exit.exit_reason !== 'KVM_EXIT_IO' || exit.port !== 0x3f8)
    throw new Error(`unexpected ${exit.exit_reason}`);
  process.stdout.write(exit.data);
}
vm.close();
kvm.close();
memory.close();
