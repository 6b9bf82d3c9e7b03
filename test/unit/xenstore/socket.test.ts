/** The Unix socket: its file, its clients, and those that do not keep to the protocol. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_XENSTORE_CLIENTS } from '../../../src/base/limits.js';
import * as xs from '../../../src/xenner/abi/xs-wire.js';
import { Xenstore, XenstoreSocket } from '../../../src/xenner/xenstore/index.js';
import { MessageReader } from '../../../src/xenner/xenstore/wire.js';
import { request, show } from './messages.js';

let folder: string;
let path: string;
let store: Xenstore;
let server: XenstoreSocket;
const clients: Socket[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'xenner-xenstore-'));
  path = join(folder, 'socket');
  store = new Xenstore();
  server = await XenstoreSocket.listen(store, path);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await server.close();
  rmSync(folder, { recursive: true });
});

async function connect(): Promise<Socket> {
  const socket = createConnection(path);
  clients.push(socket);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return socket;
}

/** Reads until there are so many messages. */
function read(socket: Socket, count: number): Promise<string[]> {
  const reader = new MessageReader();
  const found: string[] = [];
  return new Promise((resolve, reject) => {
    socket.on('close', () => reject(new Error(`closed after ${found.length} messages`)));
    socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; ) {
        const piece = chunk.subarray(at, at + reader.wanted);
        at += piece.length;
        const message = reader.feed(piece);
        if (message !== undefined) found.push(show(message));
      }
      if (found.length >= count) resolve(found);
    });
    socket.resume();
  });
}

const closed = (socket: Socket) =>
  new Promise<void>((resolve) => void socket.resume().once('close', () => resolve()));

/** Resolves when the store has so many nodes at /x, by a watch. */
const children = (count: number) =>
  store.client().waitFor('/x', (view) => (view.directory('/x')?.length === count ? count : undefined));

describe('the file', () => {
  it('is the user’s only, and goes with the store', async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await server.close();
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  it('is refused where a store listens, which goes on', async () => {
    await expect(XenstoreSocket.listen(new Xenstore(), path)).rejects.toMatchObject({
      code: 'EXENSTORE_SOCKET',
    });
    const socket = await connect();
    socket.write(request(xs.XS_READ, '/|'));
    expect(await read(socket, 1)).toEqual(['READ ']);
  });

  it('is replaced where nobody listens any more', async () => {
    const stale = join(folder, 'stale');
    const script = `require('node:net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script], { timeout: 30_000 });
    expect(existsSync(stale)).toBe(true);
    const second = await XenstoreSocket.listen(store, stale);
    await second.close();
  });

  it.each<[string, () => string]>([
    [
      'that is something else',
      () => {
        writeFileSync(join(folder, 'file'), 'precious');
        return join(folder, 'file');
      },
    ],
    ['in no folder', () => join(folder, 'none', 'socket')],
    ['that is too long', () => join(folder, 'x'.repeat(108))],
  ])('%s is refused', async (_, make) => {
    const wrong = make();
    await expect(XenstoreSocket.listen(store, wrong)).rejects.toMatchObject({ code: 'EXENSTORE_SOCKET' });
    expect(existsSync(wrong)).toBe(wrong.endsWith('file'));
  });
});

describe('a client', () => {
  it('may do everything, and hears of what it watches', async () => {
    const socket = await connect();
    const answers = read(socket, 5);
    socket.write(request(xs.XS_WATCH, '/x|t|'));
    socket.write(request(xs.XS_WRITE, '/x/y|value'));
    socket.write(request(xs.XS_READ, '/x/y|'));
    expect(await answers).toEqual([
      'WATCH OK|',
      'WATCH_EVENT /x|t|',
      'WRITE OK|',
      'WATCH_EVENT /x/y|t|',
      'READ value',
    ]);
  });

  it('may send its bytes one by one', async () => {
    const socket = await connect();
    const answers = read(socket, 1);
    socket.setNoDelay(true);
    for (const byte of request(xs.XS_WRITE, '/x|1')) {
      await new Promise((resolve) => socket.write(Uint8Array.of(byte), resolve));
    }
    expect(await answers).toEqual(['WRITE OK|']);
  });

  it('may ask much before it reads', async () => {
    store.client().write('/long', 'v'.repeat(4000));
    const socket = await connect();
    const count = 2000;
    socket.pause();
    for (let i = 0; i < count; i++) socket.write(request(xs.XS_READ, '/long|'));
    const marker = await connect();
    marker.write(request(xs.XS_WRITE, '/x/1|'));
    await children(1);
    expect((await read(socket, count)).length).toBe(count);
  });

  it('that sends what is too long is cut off, others are not', async () => {
    const [bad, good] = [await connect(), await connect()];
    bad.write(xs.xsd_sockmsg.create({ type: xs.XS_READ, len: 5000 }));
    await closed(bad);
    good.write(request(xs.XS_READ, '/|'));
    expect(await read(good, 1)).toEqual(['READ ']);
  });

  it('that goes in the middle of a message leaves no watch', async () => {
    const socket = await connect();
    const answers = read(socket, 2);
    socket.write(request(xs.XS_WATCH, '/x|t|'));
    await answers;
    socket.write(request(xs.XS_WRITE, '/x/y|value').subarray(0, 20));
    const watcher = store.client();
    const before = watcher.directory('/');
    socket.destroy();
    await closed(socket);
    store.client().write('/x/1', 1);
    await children(1);
    expect(watcher.directory('/')).toEqual([...(before ?? []), 'x']);
  });

  it('that does not read what it watches is cut off', async () => {
    const socket = await connect();
    const answers = read(socket, 2);
    socket.write(request(xs.XS_WATCH, `/x|${'t'.repeat(4000)}|`));
    await answers;
    socket.removeAllListeners('data');
    socket.pause();
    const handle = store.client();
    for (let i = 0; i < 20_000; i++) handle.write(`/x/${i % 140}/${i}`, '');
    await closed(socket);
  });

  it('is one of so many', async () => {
    const first = await Promise.all(Array.from({ length: MAX_XENSTORE_CLIENTS }, connect));
    await closed(await connect());
    const gone = closed(first[0]!);
    first[0]!.end();
    await gone;
    const socket = await connect();
    socket.write(request(xs.XS_READ, '/|'));
    expect(await read(socket, 1)).toEqual(['READ ']);
  });

  it('is let go with the store', async () => {
    const socket = await connect();
    await Promise.all([server.close(), closed(socket)]);
  });
});
