/** Programs of the host that pools need: run without a shell, with nobody's environment, and bounds on time and output. */
import { execFile } from 'node:child_process';
import { MAX_PROGRAM_OUTPUT_BYTES } from '../../../base/limits.js';
import { PoolError } from './errors.js';

/** Debian's packages of them. */
const PACKAGES = {
  blkid: 'util-linux',
  dmsetup: 'dmsetup',
  iscsiadm: 'open-iscsi',
  lvchange: 'lvm2',
  lvcreate: 'lvm2',
  lvremove: 'lvm2',
  lvs: 'lvm2',
  mkfs: 'util-linux',
  mount: 'mount',
  parted: 'parted',
  pvremove: 'lvm2',
  pvs: 'lvm2',
  scsi_id: 'udev',
  sfdisk: 'fdisk',
  showmount: 'nfs-common',
  udevadm: 'udev',
  umount: 'mount',
  vgchange: 'lvm2',
  vgcreate: 'lvm2',
  vgremove: 'lvm2',
  vgs: 'lvm2',
  wipefs: 'util-linux',
} as const;

export type HostProgram = keyof typeof PACKAGES;

export interface ProgramOptions {
  /** Default 60 s. */
  readonly timeoutMs?: number | undefined;
  /** Exit statuses that are no failure; by default 0. */
  readonly good?: readonly number[] | undefined;
}

const TIMEOUT_MS = 60_000;
/** A process that waits for a device is not ended by any signal: nobody waits for it. */
const END_MS = 5000;
const MAX_MESSAGE_CHARS = 500;
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin:/lib/udev', LC_ALL: 'C' };

/**
 * @param args what a user may have chosen must not begin with a dash, unless it stands behind `--`
 * @returns standard output
 * @throws PoolError (rejection) VIR_ERR_OPERATION_FAILED with what the program said; VIR_ERR_NO_SUPPORT: it is not there
 */
export function run(
  program: HostProgram,
  args: readonly string[],
  { timeoutMs = TIMEOUT_MS, good = [0] }: ProgramOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      env: ENVIRONMENT,
      cwd: '/',
      timeout: timeoutMs,
      killSignal: 'SIGKILL' as const,
      maxBuffer: MAX_PROGRAM_OUTPUT_BYTES,
    };
    const late = () => failure(`${program} does not end`);
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      clearTimeout(timer);
      const { code } = (error ?? { code: 0 }) as { code?: number | string };
      if (typeof code === 'number' && good.includes(code)) resolve(stdout);
      else if (code === 'ENOENT') reject(missing(program));
      else reject(child.killed ? late() : failure(`${program}: ${saidBy(stderr) || `exit status ${code}`}`));
    });
    const timer = setTimeout(() => {
      child.unref();
      reject(late());
    }, timeoutMs + END_MS);
    child.stdin?.end();
  });
}

function failure(message: string): PoolError {
  return new PoolError('VIR_ERR_OPERATION_FAILED', message);
}

function missing(program: HostProgram): PoolError {
  const next = `install it: Debian's package is ${PACKAGES[program]}`;
  return new PoolError('VIR_ERR_NO_SUPPORT', `the program ${program} is not there`, next);
}

/** On one line, as a message has it. */
function saidBy(stderr: string): string {
  const lines = stderr.split('\n').map((line) => line.trim());
  const text = lines
    .filter((line) => line !== '')
    .join('; ')
    .replace(/\p{Cc}/gu, '?');
  return text.length > MAX_MESSAGE_CHARS ? `${text.slice(0, MAX_MESSAGE_CHARS)}...` : text;
}

/** Names of devices are made by udev, some time after the devices. Best effort: not every host has it. */
export async function settleDevices(): Promise<void> {
  try {
    await run('udevadm', ['settle', '--timeout=10']);
  } catch {}
}
