/**
 * LUKS version 1 (LUKS On-Disk Format Specification 1.2.3, cryptsetup): a master key that encrypts the disk, in up to eight slots,
 * each encrypted with a password and spread so that a part of it is of no use. QEMU puts it into a qcow2 image.
 */
import { createHash, getHashes, pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { XennerError } from '../../../base/errors.js';
import { MAX_LUKS_ITERATIONS } from '../../../base/limits.js';
import { damaged, unsupported } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { viewOf } from './bytes.js';
import { DiskCipher, essivIv, plainIv } from './disk-cipher.js';

/** Where things are in the header (specification, figure 1), and of what size. */
export const LUKS = {
  magic: Buffer.from('LUKS\xba\xbe', 'latin1'),
  headerBytes: 592,
  slots: 8,
  slotBytes: 48,
  firstSlotAt: 208,
  /** LUKS_KEY_ENABLED */
  keyEnabled: 0x00ac71f3,
  sectorBytes: 512,
} as const;
const MAX_KEY_BYTES = 128;
const MAX_STRIPES = 8192;

const derive = promisify(pbkdf2);

interface LuksHeader {
  readonly cipherName: string;
  readonly cipherMode: string;
  readonly hash: string;
  readonly keyBytes: number;
  readonly digest: Uint8Array;
  readonly digestSalt: Uint8Array;
  readonly digestIterations: number;
  readonly slots: readonly KeySlot[];
}

interface KeySlot {
  readonly iterations: number;
  readonly salt: Uint8Array;
  readonly materialOffset: number;
  readonly stripes: number;
}

/** @throws XennerError EIMAGE_PASSWORD, EIMAGE_UNSUPPORTED, EIMAGE_DAMAGED */
export async function openLuks(
  file: ByteStore,
  area: { readonly offset: number; readonly length: number },
  password: Uint8Array,
): Promise<DiskCipher> {
  const { path } = file;
  const bytes = new Uint8Array(LUKS.headerBytes);
  if (area.length < LUKS.headerBytes || (await file.read(area.offset, [bytes])) < LUKS.headerBytes)
    throw damaged(path, 'the LUKS header lies behind the end');
  const header = parse(path, bytes);
  for (const slot of header.slots) {
    const key = await keyOf(file, area, header, slot, password);
    if (key) return cipherOf(path, header, key);
  }
  throw new XennerError('EIMAGE_PASSWORD', `the password does not open ${path}`);
}

function parse(path: string, bytes: Uint8Array): LuksHeader {
  const view = viewOf(bytes);
  const text = (at: number) =>
    Buffer.from(bytes.subarray(at, at + 32))
      .toString('latin1')
      .replace(/\0.*/s, '');
  if (!LUKS.magic.equals(bytes.subarray(0, LUKS.magic.length)))
    throw damaged(path, 'there is no LUKS header');
  if (view.getUint16(6) !== 1) throw unsupported(path, `is encrypted by LUKS ${view.getUint16(6)}, not 1`);
  const header: LuksHeader = {
    cipherName: text(8),
    cipherMode: text(40),
    hash: text(72),
    keyBytes: view.getUint32(108),
    digest: bytes.subarray(112, 132),
    digestSalt: bytes.subarray(132, 164),
    digestIterations: view.getUint32(164),
    slots: Array.from({ length: LUKS.slots }, (_, i) => LUKS.firstSlotAt + LUKS.slotBytes * i)
      .filter((at) => view.getUint32(at) === LUKS.keyEnabled)
      .map((at) => ({
        iterations: view.getUint32(at + 4),
        salt: bytes.subarray(at + 8, at + 40),
        materialOffset: view.getUint32(at + 40) * LUKS.sectorBytes,
        stripes: view.getUint32(at + 44),
      })),
  };
  if (!getHashes().includes(header.hash))
    throw unsupported(path, `is encrypted with hash ${shown(header.hash)}`);
  const iterations = Math.max(header.digestIterations, ...header.slots.map((slot) => slot.iterations));
  const stripes = Math.max(...header.slots.map((slot) => slot.stripes));
  if (header.keyBytes > MAX_KEY_BYTES || stripes > MAX_STRIPES || iterations > MAX_LUKS_ITERATIONS)
    throw damaged(path, 'the LUKS header asks for too much');
  if (header.keyBytes === 0 || header.digestIterations === 0 || header.slots.some(isEmpty))
    throw damaged(path, 'the LUKS header has an empty key');
  return header;
}

const isEmpty = (slot: KeySlot) => slot.iterations === 0 || slot.stripes === 0;
const shown = (name: string) => JSON.stringify(name);

/** Undefined: the slot is another password's. */
async function keyOf(
  file: ByteStore,
  area: { readonly offset: number; readonly length: number },
  header: LuksHeader,
  slot: KeySlot,
  password: Uint8Array,
): Promise<Uint8Array | undefined> {
  const { keyBytes, hash } = header;
  const length = keyBytes * slot.stripes;
  if (slot.materialOffset + length > area.length)
    throw damaged(file.path, 'a LUKS key lies outside of its area');
  const slotKey = await derive(password, slot.salt, slot.iterations, keyBytes, hash);
  const material = new Uint8Array(Math.ceil(length / LUKS.sectorBytes) * LUKS.sectorBytes);
  await file.read(area.offset + slot.materialOffset, [material]);
  cipherOf(file.path, header, slotKey).decrypt(0, material);
  const key = merge(material.subarray(0, length), keyBytes, hash);
  const digest = await derive(key, header.digestSalt, header.digestIterations, header.digest.length, hash);
  return digest.equals(header.digest) ? key : undefined;
}

/** AFmerge of the specification: every stripe is needed. */
function merge(material: Uint8Array, keyBytes: number, hash: string): Uint8Array {
  let key: Uint8Array = new Uint8Array(keyBytes);
  for (let at = 0; at < material.length; at += keyBytes) {
    if (at > 0) key = diffuse(key, hash);
    for (let i = 0; i < keyBytes; i++) key[i] = (key[i] ?? 0) ^ (material[at + i] ?? 0);
  }
  return key;
}

/** Each piece as long as a hash becomes the hash of its number and itself; a shorter last one the beginning of that. */
function diffuse(key: Uint8Array, hash: string): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < key.length; ) {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(pieces.length);
    const left = key.subarray(at);
    const size = createHash(hash).digest().length;
    const digest = createHash(hash).update(number).update(left.subarray(0, size)).digest();
    pieces.push(digest.subarray(0, left.length));
    at += size;
  }
  return new Uint8Array(Buffer.concat(pieces));
}

function cipherOf(path: string, header: LuksHeader, key: Uint8Array): DiskCipher {
  const [mode = '', iv = '', ivHash = 'sha256'] = header.cipherMode.split(/[-:]/);
  // XTS has two keys in one.
  const bits = (key.length * 8) / (mode === 'xts' ? 2 : 1);
  const algorithm = `${header.cipherName}-${bits}-${mode}`;
  const isSupported = header.cipherName === 'aes' && ['xts', 'cbc'].includes(mode);
  if (!isSupported || !DiskCipher.isKnown(algorithm))
    throw unsupported(path, `is encrypted by ${shown(`${header.cipherName}-${bits}-${header.cipherMode}`)}`);
  if (iv === 'essiv') {
    if (!['sha256', 'md5'].includes(ivHash))
      throw unsupported(path, `is encrypted with ESSIV by ${shown(ivHash)}`);
    return new DiskCipher(algorithm, key, essivIv(ivHash, key), true);
  }
  if (iv !== 'plain' && iv !== 'plain64') throw unsupported(path, `is encrypted with IVs by ${shown(iv)}`);
  return new DiskCipher(algorithm, key, plainIv(iv === 'plain' ? 32 : 64), true);
}
