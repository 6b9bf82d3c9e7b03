/** What a LUKS header says of itself, without its password; in the shape of QEMU's QCryptoBlockInfoLUKS (qapi/crypto.json). */
import { damaged } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { viewOf } from './bytes.js';
import { LUKS } from './luks.js';

export interface LuksSlotFacts {
  readonly active: boolean;
  readonly iters?: number;
  /** In bytes from the LUKS header on. */
  readonly 'key-offset': number;
  readonly stripes?: number;
}

export interface LuksFacts {
  readonly 'ivgen-alg': string;
  readonly 'ivgen-hash-alg'?: string;
  readonly 'hash-alg': string;
  readonly 'cipher-alg': string;
  readonly uuid: string;
  readonly format: 'luks';
  readonly 'cipher-mode': string;
  readonly slots: readonly LuksSlotFacts[];
  readonly 'payload-offset': number;
  readonly 'master-key-iters': number;
}

export async function luksFacts(
  file: ByteStore,
  area: { readonly offset: number; readonly length: number },
): Promise<LuksFacts> {
  const bytes = new Uint8Array(LUKS.headerBytes);
  const count = await file.read(area.offset, [bytes]);
  if (area.length < bytes.length || count < bytes.length || !LUKS.magic.equals(bytes.subarray(0, 6)))
    throw damaged(file.path, 'there is no LUKS header');
  const view = viewOf(bytes);
  const text = (at: number, length = 32) =>
    Buffer.from(bytes.subarray(at, at + length))
      .toString('latin1')
      .replace(/\0.*/s, '');
  const [mode = '', iv = '', ivHash] = text(40).split(/[-:]/);
  const keyBits = (view.getUint32(108) * 8) / (mode === 'xts' ? 2 : 1);
  return {
    'ivgen-alg': iv,
    'hash-alg': text(72),
    'cipher-alg': `${text(8)}-${keyBits}`,
    uuid: text(168, 40),
    ...(ivHash !== undefined && { 'ivgen-hash-alg': ivHash }),
    format: 'luks',
    'cipher-mode': mode,
    slots: Array.from({ length: LUKS.slots }, (_, i) =>
      slotFacts(view, LUKS.firstSlotAt + i * LUKS.slotBytes),
    ),
    'payload-offset': view.getUint32(104) * LUKS.sectorBytes,
    'master-key-iters': view.getUint32(164),
  };
}

function slotFacts(view: DataView, at: number): LuksSlotFacts {
  const active = view.getUint32(at) === LUKS.keyEnabled;
  return {
    active,
    ...(active && { iters: view.getUint32(at + 4) }),
    'key-offset': view.getUint32(at + 40) * LUKS.sectorBytes,
    ...(active && { stripes: view.getUint32(at + 44) }),
  };
}
