// A 64-bit guest with paging: it prints through a port, reads and writes a device's registers in memory, and halts.
import { GuestMemory, gpa, Kvm } from 'xenner/kvm';

// Guest-physical addresses in its 2 MiB of memory.
const PML4 = 0x1000;
const PDPT = 0x2000;
const PD = 0x3000;
const CODE = 0x10000;
const MESSAGE = 0x11000;
/** The device, where no memory is; the guest sees it at 2 MiB. At 4 MiB it sees its memory once more. */
const DEVICE = 0x1000_0000;

const code = Buffer.from(
  [
    'be 00104100      ', //       mov  $0x411000, %esi     the message, seen at 4 MiB
    '66 ba f803       ', //       mov  $0x3f8, %dx
    'ac               ', // next: lodsb
    '84 c0            ', //       test %al, %al
    '74 03            ', //       jz   done
    'ee               ', //       out  %al, %dx
    'eb f8            ', //       jmp  next
    '8b 04 25 00002000', // done: mov  0x200000, %eax      the device's register 0
    'ff c0            ', //       inc  %eax
    '89 04 25 04002000', //       mov  %eax, 0x200004      and its register 1
    'e4 10            ', //       in   $0x10, %al
    'e6 11            ', //       out  %al, $0x11
    'f4               ', //       hlt
  ]
    .join('')
    .replaceAll(' ', ''),
  'hex',
);

const kvm = new Kvm();
const vm = kvm.createVm();
const memory = GuestMemory.create(2 * 2 ** 20);
vm.setMemory({ slot: 0, address: 0, memory });

// Three levels of page tables; entries: present 1, writable 2, a page of 2 MiB 0x80.
memory.writeU64(gpa(PML4), BigInt(PDPT | 3));
memory.writeU64(gpa(PDPT), BigInt(PD | 3));
memory.writeU64(gpa(PD), 0x83n);
memory.writeU64(gpa(PD + 8), BigInt(DEVICE | 0x83));
memory.writeU64(gpa(PD + 16), 0x83n);
memory.copyIn(gpa(CODE), code);
memory.copyIn(gpa(MESSAGE), Buffer.from('Hello from long mode\n\0'));

const vcpu = vm.createVcpu(0);
vcpu.setCpuid2(kvm.supportedCpuid());
const data = { base: 0n, limit: 0xffff_ffff, selector: 0x10, type: 3, present: 1, s: 1, db: 1, g: 1 };
const segments = { ds: data, es: data, fs: data, gs: data, ss: data };
vcpu.setSregs({
  ...segments,
  cs: { ...data, selector: 8, type: 11, db: 0, l: 1 },
  cr0: 0x8000_0011n, // paging, protected mode
  cr3: BigInt(PML4),
  cr4: 0x20n, // PAE
  efer: 0x500n, // long mode: enabled, active
});
vcpu.setRegs({ rip: BigInt(CODE), rflags: 2n });

for (let running = true; running; ) {
  const exit = vcpu.run();
  switch (exit.exit_reason) {
    case 'KVM_EXIT_IO':
      if (exit.direction === 'in') exit.data[0] = 42;
      else if (exit.port === 0x3f8) process.stdout.write(exit.data);
      else console.log(`port 0x${exit.port.toString(16)}: ${exit.data[0]}`);
      break;
    case 'KVM_EXIT_MMIO': {
      const register = Number(exit.phys_addr) - DEVICE;
      const bytes = Buffer.from(exit.data.buffer, exit.data.byteOffset, exit.data.length);
      if (exit.is_write) console.log(`register ${register}: ${bytes.readUInt32LE()}`);
      else bytes.writeUInt32LE(1000);
      break;
    }
    case 'KVM_EXIT_HLT':
      running = false;
      break;
    default:
      throw new Error(
        `unexpected: ${JSON.stringify(exit, (_, value) => (typeof value === 'bigint' ? `${value}` : value))}`,
      );
  }
}
console.log(`halted at 0x${vcpu.getRegs().rip.toString(16)}`);
vm.close();
kvm.close();
memory.close();
