/** The handle of back ends: values, transactions, watches, and the store saved and restored. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { type Json, Saved } from '../../../src/xenner/save/saved.js';
import { Xenstore, type XenstoreHandle } from '../../../src/xenner/xenstore/index.js';
import { contents, GUEST, listen, storeWithGuests } from './clients.js';

let store: Xenstore;
let handle: XenstoreHandle;

beforeEach(() => {
  ({ store } = storeWithGuests());
  handle = store.client();
});

/** All callbacks that are due have run. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('values', () => {
  it('are text, numbers and bytes', () => {
    handle.write('/a/text', 'grüße');
    handle.write('/a/number', 17);
    handle.write('/a/bytes', Uint8Array.of(0, 255));
    expect(handle.read('/a/text')).toBe('grüße');
    expect(handle.read('/a/number')).toBe('17');
    expect(handle.readBytes('/a/bytes')).toEqual(Buffer.from([0, 255]));
    expect(handle.directory('/a')).toEqual(['text', 'number', 'bytes']);
    expect([handle.exists('/a'), handle.exists('/b')]).toEqual([true, false]);
  });

  it('are the store’s own copies', () => {
    const value = Uint8Array.of(1);
    handle.write('/a', value);
    value[0] = 2;
    handle.readBytes('/a')!.fill(3);
    expect(handle.readBytes('/a')).toEqual(Buffer.from([1]));
  });

  it('that are not there are undefined', () => {
    expect([
      handle.read('/x'),
      handle.readBytes('/x'),
      handle.directory('/x'),
      handle.getPerms('/x'),
    ]).toEqual(Array(4).fill(undefined));
    handle.rm('/x/y');
  });

  it.each<[string, number | undefined]>([
    ['17', 17],
    ['-1', undefined],
    ['100', 100],
    ['101', undefined],
    ['', undefined],
    [' 1', undefined],
    ['1.5', undefined],
    ['0x10', undefined],
    ['1e1', undefined],
    ['99999999999999999999', undefined],
  ])('readInt of %j, 0 to 100: %s', (text, value) => {
    handle.write('/n', text);
    expect(handle.readInt('/n', 0, 100)).toBe(value);
  });

  it('may be forbidden', () => {
    const guest = store.client(GUEST);
    expect(() => guest.read('/tool')).toThrow(expect.objectContaining({ code: 'EACCES' }));
    guest.write('data/x', '1');
    expect(handle.getPerms(`/local/domain/${GUEST}/data/x`)).toEqual([`n${GUEST}`]);
  });
});

describe('a transaction', () => {
  it('is done as a whole, and gives what its function gives', () => {
    const { heard, watch } = listen(store, 0);
    watch('/a', 'w');
    const result = handle.transaction((view) => {
      view.write('/a/b', 1);
      view.write('/a/b', 2);
      expect(handle.exists('/a')).toBe(false);
      return view.readInt('/a/b');
    });
    expect(result).toBe(2);
    expect(handle.read('/a/b')).toBe('2');
    expect(heard()).toEqual(['/a/b w']);
  });

  it('that throws was never', () => {
    const failing = () =>
      handle.transaction((view) => {
        view.write('/a', 1);
        throw new Error('no');
      });
    expect(failing).toThrow('no');
    expect(handle.exists('/a')).toBe(false);
    for (let i = 0; i < 1000; i++) expect(failing).toThrow('no');
  });
});

describe('a watch', () => {
  it('calls at first and after changes, later, each path once', async () => {
    const paths: string[] = [];
    const watch = handle.watch('/a', (path) => paths.push(path));
    handle.write('/a/b', 1);
    handle.write('/a/b', 2);
    expect(paths).toEqual([]);
    await settled();
    expect(paths).toEqual(['/a', '/a/b']);
    handle.write('/a/c', 1);
    await settled();
    expect(paths).toEqual(['/a', '/a/b', '/a/c']);
    handle.write('/a/d', 1);
    watch.close();
    watch.close();
    await settled();
    expect(paths.length).toBe(3);
  });

  it('may close itself and others, and write, while it is called', async () => {
    const paths: string[] = [];
    const other = handle.watch('/a', () => paths.push('other'));
    other.close();
    const second = vi.fn();
    const watch = handle.watch('/a', (path) => {
      paths.push(path);
      if (path === '/a') handle.write('/a/answer', 1);
      else watch.close();
      later.close();
    });
    const later = handle.watch('/a', second);
    await settled();
    await settled();
    expect(paths).toEqual(['/a', '/a/answer']);
    expect(second).not.toHaveBeenCalled();
  });

  it('ends with the handle', async () => {
    const called = vi.fn();
    const watch = handle.watch('/a', called);
    handle.close();
    handle.close();
    watch.close();
    const another = store.client();
    another.write('/a', 1);
    await settled();
    expect(called).not.toHaveBeenCalled();
  });
});

describe('waitFor', () => {
  it('looks at once, and at every change', async () => {
    handle.write('/a', 1);
    expect(await handle.waitFor('/a', (view) => view.readInt('/a'))).toBe(1);
    const found = handle.waitFor('/a', (view) => view.readInt('/a/b', 2));
    handle.write('/a/b', 1);
    await settled();
    handle.write('/a/b', 2);
    expect(await found).toBe(2);
  });

  it('ends with its signal', async () => {
    const reason = new Error('enough');
    await expect(handle.waitFor('/a', () => undefined, AbortSignal.abort(reason))).rejects.toBe(reason);
    const controller = new AbortController();
    const waiting = handle.waitFor('/a', () => undefined, controller.signal);
    await settled();
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  it('ends with what its function throws', async () => {
    const waiting = handle.waitFor('/a', () => {
      throw new Error('cannot look');
    });
    await expect(waiting).rejects.toThrow('cannot look');
  });
});

describe('saved and restored', () => {
  const again = (json: Json) =>
    Xenstore.restore(new Saved(JSON.parse(JSON.stringify(json)) as Json, 'store'));

  it('is the same', () => {
    handle.write('/a/b', Uint8Array.of(0, 255, 10));
    handle.setPerms('@releaseDomain', ['n0', 'r5']);
    const restored = again(store.save());
    expect(contents(restored)).toEqual(contents(store));
    expect(restored.tree.usage(GUEST)).toEqual(store.tree.usage(GUEST));
  });

  it('uses no generation twice', () => {
    const before = listen(store, 0).client.generation('/tool');
    const restored = again(store.save());
    const { client } = listen(restored, 0);
    expect(client.generation('/tool')).toBeGreaterThan(before);
  });

  it.each<[string, (saved: { generation: unknown; nodes: unknown[][] }) => void]>([
    ['no nodes', (saved) => Object.assign(saved, { nodes: 'x' })],
    ['a node without a parent', (saved) => saved.nodes.push(['/x/y', '', 'n0'])],
    ['no path', (saved) => saved.nodes.push(['x//', '', 'n0'])],
    ['a path that is a number', (saved) => saved.nodes.push([1, '', 'n0'])],
    ['no permissions', (saved) => saved.nodes.push(['/x', '', ''])],
    ['wrong permissions', (saved) => saved.nodes.push(['/x', '', 'n0 q1'])],
    ['too big a value', (saved) => saved.nodes.push(['/x', 'A'.repeat(8192), 'n0'])],
    ['too few members', (saved) => saved.nodes.push(['/x', ''])],
    ['a generation that was', (saved) => Object.assign(saved, { generation: 0 })],
  ])('refuses %s', (_, damage) => {
    const saved = JSON.parse(JSON.stringify(store.save())) as { generation: unknown; nodes: unknown[][] };
    damage(saved);
    expect(() => again(saved as unknown as Json)).toThrow(expect.objectContaining({ code: 'ESAVE_DAMAGED' }));
  });
});
