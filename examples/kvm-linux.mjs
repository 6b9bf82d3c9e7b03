// Boots a Linux bzImage as an ordinary KVM guest with a serial console: node kvm-linux.mjs KERNEL [INITRAMFS] [WORD...]
// Interrupt controllers and timer are KVM's; the serial port is here. The guest's `reboot` ends it.
import { readFileSync } from 'node:fs';
import { GuestMemory, gpa, KVM_PIT_SPEAKER_DUMMY, Kvm } from 'xenner/kvm';

const MEMORY = 256 * 2 ** 20;
// Guest-physical addresses of what a boot loader makes.
const GDT = 0x8000;
const PML4 = 0x9000;
const PDPT = 0xa000;
const PD = 0xb000;
const BOOT_PARAMS = 0x10000;
const CMDLINE = 0x20000;
const HIGH_MEMORY = 0x100000;
const CMOS_DATA = 0x71;
const LOW_MEMORY_END = 0x9fc00;
/** Selectors that the boot protocol asks for, and their descriptors: flat, 64-bit code and data. */
const BOOT_CS = 0x10;
const BOOT_DS = 0x18;
const CODE_DESCRIPTOR = 0x00af9b000000ffffn;
const DATA_DESCRIPTOR = 0x00cf93000000ffffn;

/** Linux's Documentation/arch/x86/boot.rst: the image goes to its preferred address, boot_params tells it the rest. */
function loadLinux(memory, image, initramfs, cmdline) {
  if (image.toString('latin1', 0x202, 0x206) !== 'HdrS' || image.readUInt16LE(0x206) < 0x20c)
    throw new Error('not a bzImage of a 64-bit Linux 3.8 or newer');
  if ((image.readUInt16LE(0x236) & 1) === 0) throw new Error('this kernel has no 64-bit entry');
  const setupBytes = ((image[0x1f1] || 4) + 1) * 512;
  const kernelAt = Number(image.readBigUInt64LE(0x258));
  const params = Buffer.alloc(4096);
  image.copy(params, 0x1f1, 0x1f1, 0x202 + image[0x201]);
  params[0x210] = 0xff; // type_of_loader: none that is known
  params[0x211] |= 1; // loadflags: LOADED_HIGH
  params.writeUInt32LE(CMDLINE, 0x228);
  if (initramfs) {
    const at = Math.floor((MEMORY - initramfs.length) / 4096) * 4096;
    if (at < kernelAt + image.readUInt32LE(0x260)) throw new Error('the initramfs does not fit');
    params.writeUInt32LE(at, 0x218);
    params.writeUInt32LE(initramfs.length, 0x21c);
    memory.copyIn(gpa(at), initramfs);
  }
  const map = [
    [0, LOW_MEMORY_END],
    [HIGH_MEMORY, MEMORY],
  ];
  params[0x1e8] = map.length;
  map.forEach(([start, end], i) => {
    params.writeBigUInt64LE(BigInt(start), 0x2d0 + 20 * i);
    params.writeBigUInt64LE(BigInt(end - start), 0x2d8 + 20 * i);
    params.writeUInt32LE(1, 0x2e0 + 20 * i); // E820_TYPE_RAM
  });
  memory.copyIn(gpa(BOOT_PARAMS), params);
  memory.copyIn(gpa(CMDLINE), Buffer.from(`${cmdline}\0`));
  memory.copyIn(gpa(kernelAt), image.subarray(setupBytes));
  return kernelAt + 0x200; // startup_64
}

/** Paging that maps the first GiB one to one, and flat segments. */
function enterLongMode(memory, vcpu, rip) {
  memory.writeU64(gpa(PML4), BigInt(PDPT | 3));
  memory.writeU64(gpa(PDPT), BigInt(PD | 3));
  for (let i = 0; i < 512; i++) memory.writeU64(gpa(PD + 8 * i), (BigInt(i) << 21n) | 0x83n);
  memory.writeU64(gpa(GDT + BOOT_CS), CODE_DESCRIPTOR);
  memory.writeU64(gpa(GDT + BOOT_DS), DATA_DESCRIPTOR);
  const flat = { base: 0n, limit: 0xffff_ffff, present: 1, s: 1, g: 1 };
  const data = { ...flat, selector: BOOT_DS, type: 3, db: 1 };
  vcpu.setSregs({
    cs: { ...flat, selector: BOOT_CS, type: 11, l: 1, db: 0 },
    ...{ ds: data, es: data, fs: data, gs: data, ss: data },
    gdt: { base: BigInt(GDT), limit: BOOT_DS + 7 },
    ...{ cr0: 0x8000_0011n, cr3: BigInt(PML4), cr4: 0x20n, efer: 0x500n },
  });
  vcpu.setRegs({ rip: BigInt(rip), rsi: BigInt(BOOT_PARAMS), rflags: 2n });
}

/** An 8250 UART at port 0x3f8, interrupt line 4: registers of its data sheet, no FIFO. */
class SerialPort {
  static BASE = 0x3f8;
  static LINE = 4;
  #registers = new Uint8Array(8);
  #divisor = new Uint8Array(2);
  #input = [];
  #transmitted = false;
  #line = false;

  constructor(setLine, output) {
    this.setLine = setLine;
    this.output = output;
  }

  type(bytes) {
    this.#input.push(...bytes);
    this.#update();
  }

  write(register, value) {
    const latch = this.#registers[3] & 0x80;
    if (latch && register < 2) this.#divisor[register] = value;
    else if (register === 0) {
      this.output(value);
      this.#transmitted = true;
    } else {
      // The transmitter is always empty: to be told so is to be told at once.
      if (register === 1) this.#transmitted = (value & 2) !== 0;
      this.#registers[register] = value;
    }
    this.#update();
  }

  read(register) {
    const value = this.#read(register);
    this.#update();
    return value;
  }

  #read(register) {
    const latch = this.#registers[3] & 0x80;
    if (latch && register < 2) return this.#divisor[register];
    if (register === 0) return this.#input.shift() ?? 0;
    if (register === 2) return this.#identify();
    if (register === 5) return 0x60 | (this.#input.length > 0 ? 1 : 0); // transmitter empty, data ready
    if (register === 6) return 0xb0; // carrier, data set ready, clear to send
    return this.#registers[register];
  }

  #identify() {
    if (this.#receives()) return 4;
    if (!this.#sends()) return 1;
    this.#transmitted = false;
    return 2;
  }

  #receives = () => this.#input.length > 0 && (this.#registers[1] & 1) !== 0;
  #sends = () => this.#transmitted && (this.#registers[1] & 2) !== 0;

  #update() {
    const level = this.#receives() || this.#sends();
    if (level !== this.#line) this.setLine(level);
    this.#line = level;
  }
}

const [kernelPath, initramfsPath, ...words] = process.argv.slice(2);
const kvm = new Kvm();
const vm = kvm.createVm();
vm.setTssAddr(0xfffb_d000);
vm.createIrqchip();
vm.createPit2(KVM_PIT_SPEAKER_DUMMY);
const memory = GuestMemory.create(MEMORY);
vm.setMemory({ slot: 0, address: 0, memory });
const vcpu = vm.createVcpu(0);
// Bit 31 says that there is a hypervisor: without it Linux does not look for KVM's clock.
const HYPERVISOR = 1 << 31;
vcpu.setCpuid2(
  kvm
    .supportedCpuid()
    .map((leaf) => (leaf.function === 1 ? { ...leaf, ecx: (leaf.ecx | HYPERVISOR) >>> 0 } : leaf)),
);
// A triple fault is the one way to reboot that needs no device.
const cmdline = ['console=ttyS0 reboot=t panic=-1 acpi=off', ...words].join(' ');
const initramfs = initramfsPath && readFileSync(initramfsPath);
enterLongMode(memory, vcpu, loadLinux(memory, readFileSync(kernelPath), initramfs, cmdline));

// A write for every byte would cost more than the guest's.
let printed = [];
function flush() {
  process.stdout.write(Uint8Array.from(printed));
  printed = [];
}
const serial = new SerialPort(
  (level) => vm.irqLine(SerialPort.LINE, level),
  (byte) => {
    if (printed.push(byte) === 1) setTimeout(flush, 10);
  },
);
process.stdin.on('data', (bytes) => serial.type(bytes));

let exit = await vcpu.runAsync();
for (
  ;
  exit.exit_reason === 'KVM_EXIT_IO' || exit.exit_reason === 'KVM_EXIT_MMIO';
  exit = await vcpu.runAsync()
) {
  const register = exit.exit_reason === 'KVM_EXIT_IO' ? exit.port - SerialPort.BASE : -1;
  const isSerial = register >= 0 && register < 8 && exit.data.length === 1;
  if (isSerial && exit.direction === 'out') serial.write(register, exit.data[0]);
  else if (isSerial) exit.data[0] = serial.read(register);
  // Nobody answers; but a clock of all ones would be one that is being set, which Linux waits for.
  else if (exit.direction === 'in' || exit.is_write === false)
    exit.data.fill(exit.port === CMOS_DATA ? 0 : 0xff);
}
flush();
console.log(`\nended by ${exit.exit_reason}`);
process.stdin.destroy();
vm.close();
kvm.close();
memory.close();
