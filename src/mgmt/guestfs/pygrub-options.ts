/** The arguments of pygrub (Xen: tools/pygrub/src/pygrub), as a guest's configuration gives them (`bootloader_args`). */
import { parseArgs } from 'node:util';
import { XennerError } from '../../base/errors.js';

export interface PygrubOptions {
  /** A path in the guest: no configuration is read. */
  readonly kernel?: string;
  readonly ramdisk?: string;
  /** Put behind the entry's own command line. */
  readonly args?: string;
  /** Number or title. */
  readonly entry?: string;
  /** No menu; also where an entry is named. */
  readonly isQuiet?: boolean;
  /** Where on the disk the file system begins, in bytes: nothing else of it is looked at. */
  readonly offset?: number;
}

/** Tells of an argument that is understood and has no effect. */
export type SayIgnored = (text: string) => void;

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;
const OPTIONS = {
  kernel: text,
  ramdisk: text,
  args: text,
  entry: text,
  offset: text,
  output: text,
  'output-format': text,
  'output-directory': text,
  runas: text,
  quiet: { ...flag, short: 'q' },
  interactive: { ...flag, short: 'i' },
  'list-entries': { ...flag, short: 'l' },
  'not-really': { ...flag, short: 'n' },
  help: { ...flag, short: 'h' },
  isconfig: flag,
  debug: flag,
} as const;

const OUTPUT = "kernel and ramdisk go to the domain's own folder";
const IGNORED = {
  output: OUTPUT,
  'output-format': OUTPUT,
  'output-directory': OUTPUT,
  runas: 'the disk is read with the rights of whoever starts the domain',
  debug: "'xenner inspect' shows what is read from a disk",
} as const;
/** With these it gives xl nothing to boot. */
const BOOTS_NOTHING = ['list-entries', 'not-really', 'help', 'isconfig'] as const;

/** @throws XennerError EUSAGE for what pygrub does not have, and for what it would boot nothing with */
export function parsePygrubArgs(argv: readonly string[], say: SayIgnored = () => {}): PygrubOptions {
  const values = parse(argv);
  for (const name of BOOTS_NOTHING)
    if (values[name]) throw usage(`--${name} boots nothing: 'xenner inspect' shows the entries of a disk`);
  for (const [name, why] of Object.entries(IGNORED))
    if (values[name as keyof typeof IGNORED] !== undefined) say(`pygrub's --${name}: ${why}`);
  const { kernel, ramdisk, args, entry, offset } = values;
  return {
    ...(kernel !== undefined && { kernel }),
    ...(ramdisk !== undefined && { ramdisk }),
    ...(args !== undefined && { args }),
    ...(entry !== undefined && { entry }),
    ...(offset !== undefined && { offset: bytes(offset) }),
    isQuiet: (values.quiet ?? false) || entry !== undefined,
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS }).values;
  } catch (error) {
    throw usage((error as Error).message);
  }
}

function bytes(offset: string): number {
  if (/^\d{1,15}$/.test(offset)) return Number(offset);
  throw usage(`--offset ${JSON.stringify(offset)} is no number of bytes`);
}

function usage(why: string): XennerError {
  return new XennerError('EUSAGE', `pygrub: ${why}`);
}
