/** Encryption of a disk's sectors, each for itself, with its number as the initialization vector. */
import { createCipheriv, createDecipheriv, createHash, getCiphers } from 'node:crypto';

export const SECTOR_BYTES = 512;
const IV_BYTES = 16;

/** How a sector's number becomes an initialization vector (LUKS On-Disk Format Specification, "IV generators"). */
type IvGenerator = (sector: number) => Uint8Array;

/** The number, little-endian, in 64 bits; `bits` 32: only its lower half. */
export function plainIv(bits: 32 | 64): IvGenerator {
  return (sector) => {
    const iv = Buffer.alloc(IV_BYTES);
    iv.writeUInt32LE(sector % 2 ** 32, 0);
    if (bits === 64) iv.writeUInt32LE(Math.floor(sector / 2 ** 32), 4);
    return iv;
  };
}

/** The number, encrypted with a hash of the key. */
export function essivIv(hash: string, key: Uint8Array): IvGenerator {
  const secret = createHash(hash).update(key).digest();
  const plain = plainIv(64);
  return (sector) => {
    const cipher = createCipheriv(`aes-${secret.length * 8}-ecb`, secret, null).setAutoPadding(false);
    return cipher.update(plain(sector));
  };
}

export class DiskCipher {
  /**
   * @param algorithm as node:crypto calls it
   * @param usesHostOffset a sector's number is its place in the file, not on the disk
   */
  constructor(
    private readonly algorithm: string,
    private readonly key: Uint8Array,
    private readonly iv: IvGenerator,
    readonly usesHostOffset: boolean,
  ) {}

  static isKnown(algorithm: string): boolean {
    return getCiphers().includes(algorithm);
  }

  /** In place. @param offset of the first sector, in bytes */
  decrypt(offset: number, sectors: Uint8Array): void {
    this.#each(offset, sectors, (sector, iv) => {
      return createDecipheriv(this.algorithm, this.key, iv).setAutoPadding(false).update(sector);
    });
  }

  encrypt(offset: number, sectors: Uint8Array): void {
    this.#each(offset, sectors, (sector, iv) => {
      return createCipheriv(this.algorithm, this.key, iv).setAutoPadding(false).update(sector);
    });
  }

  #each(
    offset: number,
    sectors: Uint8Array,
    change: (sector: Uint8Array, iv: Uint8Array) => Uint8Array,
  ): void {
    for (let at = 0; at < sectors.length; at += SECTOR_BYTES) {
      const sector = sectors.subarray(at, at + SECTOR_BYTES);
      sector.set(change(sector, this.iv((offset + at) / SECTOR_BYTES)));
    }
  }
}

/** The method that LUKS replaced: the password is the key (qcrypto_block_qcow in QEMU's crypto/block-qcow.c). */
export function legacyAes(password: Uint8Array): DiskCipher {
  const key = new Uint8Array(16);
  key.set(password.subarray(0, key.length));
  return new DiskCipher('aes-128-cbc', key, plainIv(64), false);
}
