/** Opening a save file, which may be damaged, half of one, or something else. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { XennerError } from '../../base/errors.js';
import { sumOfPages } from '../../kvm/index.js';
import { readAll } from './memory.js';
import {
  CHUNK_BYTES,
  decodeHeader,
  LAYOUT_VERSION,
  layoutSave,
  MAX_STATE_BYTES,
  PAGE,
  SAVE_VERSION,
  type SavedMachine,
  type SaveHeader,
  sha256,
} from './save-file.js';
import { type Json, Saved } from './saved.js';

/** An open save file whose header, state and size are in order. */
export class SaveFile {
  private constructor(
    readonly path: string,
    private readonly fd: number,
    private readonly header: SaveHeader,
    private readonly json: Json,
    private readonly sums: Uint32Array,
  ) {}

  /** @throws XennerError ESAVE_FILE, ESAVE_DAMAGED, ESAVE_VERSION */
  static open(path: string): SaveFile {
    const fd = openRegularFile(path);
    try {
      const header = readHeader(path, fd);
      const text = readBytes(fd, PAGE, header.stateBytes);
      const sums = readBytes(fd, PAGE + header.stateBytes, header.sumsBytes);
      if (Buffer.compare(sha256(text, sums), header.stateSum) !== 0)
        throw damaged(path, 'its state has changed');
      const json = parse(path, text);
      return new SaveFile(path, fd, header, json, new Uint32Array(Uint8Array.from(sums).buffer));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  get state(): Saved {
    return new Saved(this.json, 'state');
  }

  get memoryBytes(): number {
    return this.header.memoryBytes;
  }

  /** Its size, holes included. */
  get bytes(): number {
    return this.header.memoryAt + this.header.memoryBytes;
  }

  /** For the thread that maps the memory, while this is open. */
  get machine(): SavedMachine {
    return { fd: this.fd, memoryOffset: this.header.memoryAt, state: this.json };
  }

  /** Reads all of the memory. @throws XennerError ESAVE_DAMAGED when it is not what was saved */
  verifyMemory(): void {
    const { memoryAt, memoryBytes } = this.header;
    for (let at = 0; at < memoryBytes; at += CHUNK_BYTES) {
      const chunk = readBytes(this.fd, memoryAt + at, Math.min(CHUNK_BYTES, memoryBytes - at));
      if (sumOfPages(chunk) !== this.sums[at / CHUNK_BYTES]) {
        throw damaged(this.path, `its memory has changed at 0x${at.toString(16)}`);
      }
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Not one that blocks when it is opened, as a FIFO does. */
function openRegularFile(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new XennerError('ESAVE_FILE', `cannot open ${path}: ${(cause as Error).message}`, undefined, {
      cause,
    });
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new XennerError('ESAVE_FILE', `${path} is no regular file`);
}

function readHeader(path: string, fd: number): SaveHeader {
  const { size } = fstatSync(fd);
  const page = size >= PAGE ? readBytes(fd, 0, PAGE) : undefined;
  const header = page && decodeHeader(page);
  if (page?.every((byte) => byte === 0)) throw damaged(path, 'it was not written to its end');
  if (header === undefined)
    throw new XennerError('ESAVE_FILE', `${path} is no saved domain, or a damaged one`);
  if (header.version !== SAVE_VERSION || header.layout !== LAYOUT_VERSION) {
    const what = `was saved by another version of xenner (format ${header.version}.${header.layout}`;
    const ours = `this one reads ${SAVE_VERSION}.${LAYOUT_VERSION})`;
    throw new XennerError('ESAVE_VERSION', `${path} ${what}, ${ours}`, 'restore it with that version');
  }
  const { stateBytes, sumsBytes, memoryAt, memoryBytes } = header;
  const layout = layoutSave(stateBytes, memoryBytes);
  const sound =
    stateBytes <= MAX_STATE_BYTES && layout.sumsBytes === sumsBytes && layout.memoryAt === memoryAt;
  if (!sound || memoryBytes % PAGE !== 0) throw damaged(path, 'its header contradicts itself');
  if (size !== memoryAt + memoryBytes) {
    throw damaged(path, `it has ${size} bytes where it had ${memoryAt + memoryBytes}`);
  }
  return header;
}

function parse(path: string, text: Uint8Array): Json {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text)) as Json;
  } catch {
    throw damaged(path, 'its state cannot be read');
  }
}

function readBytes(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  readAll(fd, position, bytes);
  return bytes;
}

function damaged(path: string, why: string): XennerError {
  return new XennerError('ESAVE_DAMAGED', `${path} is damaged: ${why}`);
}
