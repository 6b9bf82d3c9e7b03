/** The arguments of pygrub, as a guest's configuration gives them (`bootloader_args`). */
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
  /** Look only: nothing is copied out of the guest. */
  readonly isDryRun?: boolean;
}

/** @throws XennerError EUSAGE for what pygrub does not have. Where its output goes does not concern us. */
export function parsePygrubArgs(argv: readonly string[]): PygrubOptions {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        kernel: text,
        ramdisk: text,
        args: text,
        entry: text,
        output: text,
        'output-format': text,
        'output-directory': text,
        quiet: { ...flag, short: 'q' },
        interactive: { ...flag, short: 'i' },
        debug: flag,
        'not-really': { ...flag, short: 'n' },
      },
    });
    const { kernel, ramdisk, args, entry } = values;
    return {
      ...(kernel !== undefined && { kernel }),
      ...(ramdisk !== undefined && { ramdisk }),
      ...(args !== undefined && { args }),
      ...(entry !== undefined && { entry }),
      isQuiet: (values.quiet ?? false) || entry !== undefined,
      isDryRun: values['not-really'] ?? false,
    };
  } catch (error) {
    throw new XennerError('EUSAGE', `pygrub: ${(error as Error).message}`);
  }
}
