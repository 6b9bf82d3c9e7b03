/** GDB's remote commands (GDB manual, appendix E.2 and E.4), each a packet in and the answer out. */
import { MAX_GDB_PACKET_BYTES } from '../../base/limits.js';
import type { DebugAnswers, DebugRequest, ResumeAction, Stop } from './messages.js';
import type { Point, PointKind } from './points.js';
import {
  decodeRegister,
  decodeRegisters,
  encodeRegister,
  encodeRegisters,
  REGISTERS,
  TARGET_XML,
} from './registers.js';

/** What the commands are about: a domain that stands still. */
export interface Target {
  readonly nrVcpus: number;
  ask<R extends DebugRequest>(request: R, answered?: () => void): Promise<DebugAnswers[R['op']] | undefined>;
}

/** What a client has said for the commands that follow. */
export interface ClientState {
  /** The vCPU of registers and memory. */
  vcpu: number;
  /** That of `c` and `s`; undefined: all. */
  resumed: number | undefined;
  /** It knows `swbreak` and `hwbreak`. */
  breaks: boolean;
  lastStop: Stop;
}

/** An answer, or what the session has to do. */
export type Outcome =
  | { readonly reply: string }
  | { readonly resume: readonly ResumeAction[] }
  | { readonly end: 'detach' | 'kill'; readonly reply: string }
  | { readonly noAck: true; readonly reply: string };

const OK = { reply: 'OK' };
/** The protocol's word for a command that is not known. */
const UNKNOWN = { reply: '' };
const EFAULT = { reply: 'E0e' };
const EINVAL = { reply: 'E16' };
/** Hexadecimal digits take twice their bytes; the rest is for what stands before them. */
const MAX_MEMORY_BYTES = (MAX_GDB_PACKET_BYTES - 64) / 2;
/** By Z's number. A point at a value that is only read (3) is not to be had of the CPU. */
const POINTS: Readonly<Record<string, PointKind>> = { 0: 'software', 1: 'hardware', 2: 'write', 4: 'access' };
const REASONS = { software: 'swbreak', hardware: 'hwbreak', write: 'watch', access: 'awatch' } as const;

/** Threads are numbered from 1: 0 is any. */
const threadOf = (vcpu: number) => (vcpu + 1).toString(16);

function hexNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9a-f]{1,8}$/i.test(text) ? Number.parseInt(text, 16) : undefined;
}

function hexAddress(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
}

/** Any, all (undefined), or one; false for none that there is. */
function threads(text: string, nrVcpus: number): number | undefined | false {
  if (text === '-1' || text === '0') return undefined;
  const id = hexNumber(text);
  return id !== undefined && id <= nrVcpus ? id - 1 : false;
}

/** @param breaks the client knows `swbreak` and `hwbreak`; without them GDB takes 1 off rip, as after an INT3 */
export function stopReply({ vcpu, signal, point }: Stop, breaks: boolean): string {
  let reason = '';
  if (point?.kind === 'write' || point?.kind === 'access') {
    reason = `${REASONS[point.kind]}:${point.address.toString(16)};`;
  } else if (point !== undefined && breaks) {
    reason = `${REASONS[point.kind]}:;`;
  }
  return `T${signal.toString(16).padStart(2, '0')}thread:${threadOf(vcpu)};${reason}`;
}

async function readRegisters(target: Target, state: ClientState): Promise<Outcome> {
  const values = await target.ask({ op: 'readRegisters', vcpu: state.vcpu });
  return values === undefined ? EFAULT : { reply: encodeRegisters(values) };
}

async function writeRegisters(target: Target, state: ClientState, text: string): Promise<Outcome> {
  const values = decodeRegisters(text);
  if (values === undefined) return EINVAL;
  // All at once: those that cannot change stay as they are.
  await target.ask({ op: 'writeRegisters', vcpu: state.vcpu, values });
  return OK;
}

async function readRegister(target: Target, state: ClientState, text: string): Promise<Outcome> {
  const register = REGISTERS[hexNumber(text) ?? -1];
  if (register === undefined) return EINVAL;
  const values = await target.ask({ op: 'readRegisters', vcpu: state.vcpu });
  return values === undefined ? EFAULT : { reply: encodeRegister(register, values[register.name]) };
}

async function writeRegister(target: Target, state: ClientState, text: string): Promise<Outcome> {
  const [number, hex = ''] = text.split('=', 2);
  const register = REGISTERS[hexNumber(number) ?? -1];
  const value = register && decodeRegister(register, hex);
  if (register === undefined || value === undefined) return EINVAL;
  const values = { [register.name]: value };
  return (await target.ask({ op: 'writeRegisters', vcpu: state.vcpu, values })) ? OK : EINVAL;
}

async function readMemory(target: Target, state: ClientState, text: string): Promise<Outcome> {
  const [first, second] = text.split(',', 2);
  const [address, length] = [hexAddress(first), hexNumber(second)];
  if (address === undefined || length === undefined) return EINVAL;
  const request = { vcpu: state.vcpu, address, length: Math.min(length, MAX_MEMORY_BYTES) };
  const bytes = await target.ask({ op: 'readMemory', ...request });
  if (bytes === undefined || (bytes.length === 0 && length > 0)) return EFAULT;
  return { reply: Buffer.from(bytes).toString('hex') };
}

async function writeMemory(
  target: Target,
  state: ClientState,
  header: string,
  bytes: Buffer,
): Promise<Outcome> {
  const [first, second] = header.split(',', 2);
  const address = hexAddress(first);
  if (address === undefined || hexNumber(second) !== bytes.length) return EINVAL;
  return (await target.ask({ op: 'writeMemory', vcpu: state.vcpu, address, bytes })) ? OK : EFAULT;
}

async function changePoint(target: Target, op: 'insert' | 'remove', text: string): Promise<Outcome> {
  const [type = '', first, second] = text.split(',', 3);
  const kind = POINTS[type];
  const [address, length] = [hexAddress(first), hexNumber(second?.split(';', 1)[0])];
  if (kind === undefined) return UNKNOWN;
  if (address === undefined || length === undefined) return EINVAL;
  const point: Point = { kind, address, length };
  return (await target.ask({ op, point })) ? OK : EINVAL;
}

/** `c`, `s` and, with a signal that no guest can take, `C`, `S`: the address is where to go on. */
async function resume(target: Target, state: ClientState, packet: string): Promise<Outcome> {
  const where = 'cs'.includes(packet[0]!) ? packet.slice(1) : packet.split(';')[1];
  const step = 'sS'.includes(packet[0]!);
  const vcpu = state.resumed ?? state.vcpu;
  if (where) {
    const rip = hexAddress(where);
    if (rip === undefined) return EINVAL;
    await target.ask({ op: 'writeRegisters', vcpu, values: { rip } });
  }
  const all = Array.from({ length: target.nrVcpus }, (): ResumeAction => 'continue');
  return { resume: step ? all.with(vcpu, 'step') : all };
}

/** `vCont`: the first action that names a vCPU is its own. */
function resumeEach(target: Target, text: string): Outcome {
  const actions: (ResumeAction | undefined)[] = Array.from({ length: target.nrVcpus });
  for (const part of text.split(';')) {
    const [action = '', thread = '-1'] = part.split(':', 2);
    const which = threads(thread, target.nrVcpus);
    const step = /^(s|S[0-9a-f]{2})$/i.test(action) && action[0]!.toLowerCase() === 's';
    if (which === false || !(step || /^(c|C[0-9a-f]{2})$/.test(action))) return EINVAL;
    for (let vcpu = 0; vcpu < target.nrVcpus; vcpu++) {
      if (which === undefined || which === vcpu) actions[vcpu] ??= step ? 'step' : 'continue';
    }
  }
  return { resume: actions.map((action) => action ?? 'stay') };
}

function selectThread(target: Target, state: ClientState, packet: string): Outcome {
  const which = threads(packet.slice(2), target.nrVcpus);
  if (which === false) return EINVAL;
  if (packet[1] === 'c') state.resumed = which;
  else if (packet[1] === 'g') state.vcpu = which ?? state.lastStop.vcpu;
  else return UNKNOWN;
  return OK;
}

async function query(target: Target, state: ClientState, packet: string): Promise<Outcome> {
  const [name, ...rest] = packet.split(/[:,]/);
  switch (name) {
    case 'qSupported': {
      state.breaks = /[:;]swbreak\+(;|$)/.test(packet) && /[:;]hwbreak\+(;|$)/.test(packet);
      const size = `PacketSize=${MAX_GDB_PACKET_BYTES.toString(16)}`;
      const breaks = state.breaks ? ';swbreak+;hwbreak+' : '';
      return { reply: `${size};QStartNoAckMode+;qXfer:features:read+;vContSupported+${breaks}` };
    }
    case 'qAttached':
      return { reply: '1' };
    case 'qC':
      return { reply: `QC${threadOf(state.vcpu)}` };
    case 'qfThreadInfo':
      return { reply: `m${Array.from({ length: target.nrVcpus }, (_, vcpu) => threadOf(vcpu)).join(',')}` };
    case 'qsThreadInfo':
      return { reply: 'l' };
    case 'qThreadExtraInfo': {
      const vcpu = threads(rest[0] ?? '', target.nrVcpus);
      const lines = await target.ask({ op: 'describe' });
      if (typeof vcpu !== 'number' || lines === undefined) return EINVAL;
      return { reply: Buffer.from(lines[vcpu]!).toString('hex') };
    }
    case 'qXfer':
      return transfer(rest);
    default:
      return UNKNOWN;
  }
}

/** qXfer:features:read:target.xml:OFFSET,LENGTH */
function transfer([object, verb, annex, first, second]: readonly string[]): Outcome {
  const [offset, length] = [hexNumber(first), hexNumber(second)];
  if (object !== 'features' || verb !== 'read') return UNKNOWN;
  if (annex !== 'target.xml' || offset === undefined || length === undefined) return EINVAL;
  const piece = TARGET_XML.slice(offset, offset + Math.min(length, MAX_MEMORY_BYTES));
  return { reply: (offset + piece.length < TARGET_XML.length ? 'm' : 'l') + piece };
}

function verbose(target: Target, packet: string): Outcome {
  if (packet === 'vCont?') return { reply: 'vCont;c;C;s;S' };
  if (packet.startsWith('vCont;')) return resumeEach(target, packet.slice(6));
  return packet.startsWith('vKill') ? { end: 'kill', reply: 'OK' } : UNKNOWN;
}

/** One packet. Whatever it holds, there is an outcome. */
export async function execute(target: Target, state: ClientState, data: Buffer): Promise<Outcome> {
  const packet = data.toString('latin1');
  const rest = packet.slice(1);
  switch (packet[0]) {
    case '?':
      return { reply: stopReply(state.lastStop, state.breaks) };
    case 'g':
      return readRegisters(target, state);
    case 'G':
      return writeRegisters(target, state, rest);
    case 'p':
      return readRegister(target, state, rest);
    case 'P':
      return writeRegister(target, state, rest);
    case 'm':
      return readMemory(target, state, rest);
    case 'M': {
      const [header = '', hex = ''] = rest.split(':', 2);
      return writeMemory(target, state, header, Buffer.from(hex, 'hex'));
    }
    case 'X': {
      const colon = data.indexOf(':');
      return writeMemory(target, state, packet.slice(1, colon), data.subarray(colon + 1));
    }
    case 'Z':
      return changePoint(target, 'insert', rest);
    case 'z':
      return changePoint(target, 'remove', rest);
    case 'c':
    case 'C':
    case 's':
    case 'S':
      return resume(target, state, packet);
    case 'H':
      return selectThread(target, state, packet);
    case 'T':
      return typeof threads(rest, target.nrVcpus) === 'number' ? OK : EINVAL;
    case 'q':
      return query(target, state, packet);
    case 'v':
      return verbose(target, packet);
    case 'D':
      return { end: 'detach', reply: 'OK' };
    case 'k':
      return { end: 'kill', reply: '' };
    default:
      return packet === 'QStartNoAckMode' ? { noAck: true, reply: 'OK' } : UNKNOWN;
  }
}
