/** What a domain was made from, in a save file: what goes on being so, and what a reboot needs. */
import { resolve } from 'node:path';
import { newSha256 } from '../../base/crypto.js';
import { XennerError } from '../../base/errors.js';
import {
  MAX_CMDLINE_BYTES,
  MAX_GUEST_MEMORY_MIB,
  MAX_VCPUS,
  MIN_GUEST_MEMORY_MIB,
} from '../../base/limits.js';
import { DOMID_FIRST_RESERVED } from '../abi/xen.js';
import { openFile, readBytes } from '../builder/image-source.js';
import type { CompleteConfig } from '../domain/config.js';
import { checkDomainName, checkUuid, DEFAULT_DOMID } from '../domain/identity.js';
import { findProfile } from '../profile/profiles.js';
import type { Json, Saved } from './saved.js';

const MAX_PATH = 4096;
const READ_BYTES = 2 ** 20;
/** No guest takes a larger one. */
const MAX_FILE_BYTES = MAX_GUEST_MEMORY_MIB * 2 ** 20;
const SHA256_HEX = 64;
const MAX_PROFILE_NAME = 100;
const MAX_NAME = 64;

/** A file that a reboot reads: by its path, if it is still the one that it was. */
export interface KnownFile {
  readonly path: string;
  /** Empty: it could not be read when the domain was saved. */
  readonly sha256: string;
}

export interface SavedConfig {
  readonly config: Omit<CompleteConfig, 'engine' | 'trace' | 'backing' | 'gdb'>;
  readonly files: readonly KnownFile[];
}

/** Of a regular file. The path may come from a save file, and be anything. */
function hashOf(path: string): string {
  const hash = newSha256();
  try {
    const file = openFile(path, 'file', MAX_FILE_BYTES);
    try {
      for (let at = 0; at < file.size; at += READ_BYTES)
        hash.update(readBytes(file, at, Math.min(READ_BYTES, file.size - at)));
    } finally {
      file.close();
    }
  } catch {
    return '';
  }
  return hash.digest('hex');
}

function saveFile(path: string): Json {
  const absolute = resolve(path);
  return { path: absolute, sha256: hashOf(absolute) };
}

export function saveConfig(config: CompleteConfig): Json {
  const { name, uuid, domid, kernel, ramdisk, cmdline, memoryMiB, vcpus, profile, fastPaths, onReboot } =
    config;
  return {
    kernel: saveFile(kernel),
    ramdisk: ramdisk === undefined ? null : saveFile(ramdisk),
    ...{ name, uuid, domid, cmdline, memoryMiB, vcpus, profile: profile.name, fastPaths, onReboot },
  };
}

function knownFile(saved: Saved): KnownFile {
  return { path: saved.get('path').text(MAX_PATH), sha256: saved.get('sha256').text(SHA256_HEX) };
}

/** Files of earlier versions do not say: the guest was domain 1. */
function domidOf(saved: Saved): number {
  return saved.has('domid') ? saved.get('domid').int(1, DOMID_FIRST_RESERVED - 1) : DEFAULT_DOMID;
}

/** @throws XennerError ESAVE_DAMAGED, EPROFILE */
export function restoreConfig(saved: Saved): SavedConfig {
  const kernel = knownFile(saved.get('kernel'));
  const ramdisk = saved.get('ramdisk').optional(knownFile);
  const config = {
    name: checkDomainName(saved.get('name').text(MAX_NAME)),
    uuid: checkUuid(saved.get('uuid').text(MAX_NAME)),
    domid: domidOf(saved),
    kernel: kernel.path,
    ramdisk: ramdisk?.path,
    cmdline: saved.get('cmdline').text(MAX_CMDLINE_BYTES),
    memoryMiB: saved.get('memoryMiB').int(MIN_GUEST_MEMORY_MIB, MAX_GUEST_MEMORY_MIB),
    vcpus: saved.get('vcpus').int(1, MAX_VCPUS),
    profile: findProfile(saved.get('profile').text(MAX_PROFILE_NAME)),
    fastPaths: saved.get('fastPaths').bool(),
    onReboot: saved.get('onReboot').oneOf(['restart', 'end'] as const),
  };
  return { config, files: ramdisk === undefined ? [kernel] : [kernel, ramdisk] };
}

/**
 * For a reboot after a restore. A save file from elsewhere might name any file of this host's for the guest to read: so only
 * what it knows already is given to it.
 * @throws XennerError ESAVE_REBOOT
 */
export function checkFiles(files: readonly KnownFile[]): void {
  for (const { path, sha256 } of files) {
    if (sha256 !== '' && hashOf(path) === sha256) continue;
    throw new XennerError(
      'ESAVE_REBOOT',
      `the guest cannot reboot: ${path} is not the file that it was started from`,
      'start it anew with `xenner run`',
    );
  }
}
