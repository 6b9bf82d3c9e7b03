/** What a save file holds, told without restoring anything. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { MAX_CMDLINE_BYTES } from '../../base/limits.js';
import { restoreConfig } from './config.js';
import { SaveFile } from './read.js';
import { isMagic, LAYOUT_VERSION, MAGIC_BYTES, SAVE_VERSION } from './save-file.js';

const ENGINES = ['soft', 'kvm'] as const;
const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

export interface SaveReport {
  /** Of the format, and of what is in the guest's memory: this program's, as it opens no others. */
  readonly version: string;
  readonly name: string;
  readonly uuid: string;
  /** ISO 8601. */
  readonly savedAt: string;
  /** That the guest ran on; it may go on on another one. */
  readonly engine: (typeof ENGINES)[number];
  readonly profile: string;
  readonly memoryMiB: number;
  readonly vcpus: number;
  readonly vcpusOnline: number;
  readonly kernel: string;
  readonly ramdisk: string | null;
  readonly cmdline: string;
  readonly fastPaths: boolean;
  readonly fileBytes: number;
}

/** Whether it begins like one, sound or not; false where it cannot be read. Does not wait for a FIFO's other end. */
export function isSaveFile(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return false;
  }
  try {
    const first = Buffer.alloc(MAGIC_BYTES);
    return fstatSync(fd).isFile() && readSync(fd, first) === MAGIC_BYTES && isMagic(first);
  } finally {
    closeSync(fd);
  }
}

/** What Domain.save() was given to keep, which may be anything; null: nothing. @throws XennerError as restoreDomain() does */
export function savedUserData(path: string): unknown {
  const file = SaveFile.open(path);
  try {
    return file.state.get('userData').json();
  } finally {
    file.close();
  }
}

/** @throws XennerError as restoreDomain() does */
export function inspectSave(path: string): SaveReport {
  const file = SaveFile.open(path);
  try {
    const { state } = file;
    const { config } = restoreConfig(state.get('config'));
    const savedAt = state.get('savedAt').text(MAX_CMDLINE_BYTES);
    if (!DATE.test(savedAt)) throw state.get('savedAt').wrong('a date');
    const vcpus = state.get('vcpus').tuple(config.vcpus);
    return {
      version: `${SAVE_VERSION}.${LAYOUT_VERSION}`,
      name: config.name,
      uuid: config.uuid,
      savedAt,
      engine: state.get('engine').oneOf(ENGINES),
      profile: config.profile.name,
      memoryMiB: config.memoryMiB,
      vcpus: config.vcpus,
      vcpusOnline: vcpus.filter((vcpu) => vcpu.get('online').bool()).length,
      kernel: config.kernel,
      ramdisk: config.ramdisk ?? null,
      cmdline: config.cmdline,
      fastPaths: config.fastPaths,
      fileBytes: file.bytes,
    };
  } finally {
    file.close();
  }
}
