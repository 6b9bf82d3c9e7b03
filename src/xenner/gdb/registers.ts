/** The registers that GDB is shown, in the order of its `g` packet, and the description of them that it asks for. */

export interface Register {
  readonly name: string;
  readonly bits: 32 | 64 | 80 | 128;
  readonly type: string;
}

interface Feature {
  readonly name: string;
  /** Types that its registers use. */
  readonly types: string;
  readonly registers: readonly Register[];
}

/** A register that is not in it cannot be had. */
export type RegisterValues = Readonly<Record<string, bigint>>;

const all = (bits: Register['bits'], type: string, names: readonly string[]): Register[] =>
  names.map((name) => ({ name, bits, type }));
const numbered = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}${i}`);

/** Intel SDM vol. 1, 3.4.3; bits without a name are reserved. */
const EFLAGS = [
  'CF',
  '',
  'PF',
  '',
  'AF',
  '',
  'ZF',
  'SF',
  'TF',
  'IF',
  'DF',
  'OF',
  '',
  '',
  'NT',
  '',
  'RF',
  'VM',
];
const MORE_EFLAGS = ['AC', 'VIF', 'VIP', 'ID'];
/** SDM vol. 1, 10.2.3. */
const MXCSR = ['IE', 'DE', 'ZE', 'OE', 'UE', 'PE', 'DAZ', 'IM', 'DM', 'ZM', 'OM', 'UM', 'PM', '', '', 'FZ'];

function flags(id: string, names: readonly string[]): string {
  const fields = names.map((name, bit) =>
    name ? `<field name="${name}" start="${bit}" end="${bit}"/>` : '',
  );
  return `<flags id="${id}" size="4">${fields.join('')}</flags>`;
}

function vector(id: string, type: string, count: number): string {
  return `<vector id="${id}" type="${type}" count="${count}"/>`;
}

const VECTORS = [
  ['v4_float', 'ieee_single', 4],
  ['v2_double', 'ieee_double', 2],
  ['v16_int8', 'int8', 16],
  ['v8_int16', 'int16', 8],
  ['v4_int32', 'int32', 4],
  ['v2_int64', 'int64', 2],
] as const;
const VEC128 = [
  ...VECTORS.map(([id, type, count]) => vector(id, type, count)),
  '<union id="vec128">',
  ...VECTORS.map(([id]) => `<field name="${id}" type="${id}"/>`),
  '<field name="uint128" type="uint128"/></union>',
].join('');

/** The names of GDB's own features are fixed (GDB manual, G.5.5); control registers have none there. */
const FEATURES: readonly Feature[] = [
  {
    name: 'org.gnu.gdb.i386.core',
    types: flags('i386_eflags', [...EFLAGS, ...MORE_EFLAGS]),
    registers: [
      ...all(64, 'int64', ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi']),
      ...all(64, 'data_ptr', ['rbp', 'rsp']),
      ...all(64, 'int64', ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15']),
      ...all(64, 'code_ptr', ['rip']),
      ...all(32, 'i386_eflags', ['eflags']),
      ...all(32, 'int32', ['cs', 'ss', 'ds', 'es', 'fs', 'gs']),
      ...all(80, 'i387_ext', numbered('st', 8)),
      ...all(32, 'int', ['fctrl', 'fstat', 'ftag', 'fiseg', 'fioff', 'foseg', 'fooff', 'fop']),
    ],
  },
  {
    name: 'org.gnu.gdb.i386.sse',
    types: VEC128 + flags('i386_mxcsr', MXCSR),
    registers: [...all(128, 'vec128', numbered('xmm', 16)), ...all(32, 'i386_mxcsr', ['mxcsr'])],
  },
  {
    name: 'org.gnu.gdb.i386.segments',
    types: '',
    registers: all(64, 'int', ['fs_base', 'gs_base']),
  },
  {
    name: 'org.xenner.i386.control',
    types: '',
    registers: all(64, 'int64', ['k_gs_base', 'cr0', 'cr2', 'cr3', 'cr4', 'efer']),
  },
];

export const REGISTERS: readonly Register[] = FEATURES.flatMap(({ registers }) => registers);

export const TARGET_XML = [
  '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">',
  '<target version="1.0"><architecture>i386:x86-64</architecture>',
  ...FEATURES.map(
    ({ name, types, registers }) =>
      `<feature name="${name}">${types}${registers.map(describe).join('')}</feature>`,
  ),
  '</target>',
].join('\n');

function describe({ name, bits, type }: Register): string {
  const group = /^f[a-z]+(?<!_base)$/.test(name) && bits === 32 && type === 'int' ? ' group="float"' : '';
  return `<reg name="${name}" bitsize="${bits}" type="${type}"${group}/>`;
}

const digits = ({ bits }: Register) => bits / 4;

/** Hexadecimal, the first byte first; `x` for what cannot be had. */
export function encodeRegister(register: Register, value: bigint | undefined): string {
  if (value === undefined) return 'x'.repeat(digits(register));
  const bigEndian = BigInt.asUintN(register.bits, value).toString(16).padStart(digits(register), '0');
  return Buffer.from(bigEndian, 'hex').reverse().toString('hex');
}

export function encodeRegisters(values: RegisterValues): string {
  return REGISTERS.map((register) => encodeRegister(register, values[register.name])).join('');
}

/** Undefined for what is no value of this register. */
export function decodeRegister(register: Register, hex: string): bigint | undefined {
  if (hex.length !== digits(register) || !/^[0-9a-f]+$/i.test(hex)) return undefined;
  return BigInt(`0x${Buffer.from(hex, 'hex').reverse().toString('hex')}`);
}

/** A `G` packet; registers that are given as `x`, or not at all, are left out. Undefined if it is none. */
export function decodeRegisters(hex: string): RegisterValues | undefined {
  const values: Record<string, bigint> = {};
  let at = 0;
  for (const register of REGISTERS) {
    const text = hex.slice(at, at + digits(register));
    at += digits(register);
    if (text === '' || /^x+$/.test(text)) continue;
    const value = decodeRegister(register, text);
    if (value === undefined) return undefined;
    values[register.name] = value;
  }
  return hex.length > at ? undefined : values;
}
