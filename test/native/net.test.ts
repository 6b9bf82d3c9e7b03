/** The addon's NetTap and rtnetlink with wrong arguments, what takes an interface is in test/net; pairs of sockets. */
import { once } from 'node:events';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { loadAddon } from '../../src/kvm/addon.js';
import { changeLink, createLink, linkIndex, openTap, socketPair } from '../../src/kvm/index.js';
import { linkHeader } from '../../src/kvm/netlink/links.js';
import { encodeMessage, NLM_F_DUMP, RTM_GETLINK, RTM_NEWLINK } from '../../src/kvm/netlink/message.js';
import { request } from '../../src/kvm/netlink/request.js';

const addon = loadAddon();

describe('NetTap', () => {
  const bad: Array<{ name: string; args: unknown[]; error: object }> = [
    { name: 'no path', args: [1, 'a', 1], error: { code: 'EINVAL' } },
    { name: 'no name', args: ['/dev/net/tun', undefined, 1], error: { code: 'EINVAL' } },
    { name: 'no notifier', args: ['/dev/net/tun', 'a', -1], error: { code: 'EINVAL' } },
    { name: 'a path that is none', args: ['/dev/no-such-tap', 'a', 1], error: { code: 'ENOENT' } },
    { name: 'a device that is no tap', args: ['/dev/null', 'a', 1], error: { code: 'ENOTTY' } },
    { name: 'a name with a NUL', args: ['/dev/null', 'a\0b', 1], error: { code: 'EINVAL' } },
    { name: 'a name of 16 bytes', args: ['/dev/null', 'a'.repeat(16), 1], error: { code: 'EINVAL' } },
  ];
  it.each(bad)('refuses $name', ({ args, error }) => {
    const make = () => Reflect.construct(addon.NetTap, args);
    expect(make).toThrow(expect.objectContaining(error));
  });
  it('is explained to the user', () => {
    expect(() => openTap('/dev/no-such-tap', 'vif1.0', () => {})).toThrow(
      /^cannot open the tap vif1.0: .*; there is no such device: load the kernel's module tun$/,
    );
  });
});

describe('rtnetlink', () => {
  it('knows the interfaces there are', () => {
    expect(linkIndex('lo')).toBe(1);
    expect(linkIndex('no-such-link')).toBeUndefined();
    expect(linkIndex('a'.repeat(1000))).toBeUndefined();
  });
  it.each([
    { name: 'no message', args: ['x', 9, 'what'] },
    { name: 'half a header', args: [new Uint8Array(15), 9, 'what'] },
    { name: 'words', args: [new Uint16Array(20), 9, 'what'] },
    { name: 'no bound', args: [new Uint8Array(32), -1, 'what'] },
    { name: 'no name for it', args: [new Uint8Array(32), 9] },
  ])('refuses $name', ({ args }) => {
    expect(() => Reflect.apply(addon.netlinkRequest, undefined, args)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });
  it('says what the kernel makes of nonsense', () => {
    const failure = () => request('try', RTM_NEWLINK, 0, linkHeader(0x7fffffff));
    expect(failure).toThrow(/^cannot try: /);
    expect(() => request('try', 9999, 0, Buffer.alloc(16))).toThrow(/^cannot try: .*not supported/);
  });
  it('waits for no answer that does not come, and takes no more than it was allowed', () => {
    const unanswered = encodeMessage(RTM_NEWLINK, 0);
    unanswered.writeUInt32LE(400, 0);
    expect(() => addon.netlinkRequest(unanswered, 99, 'a try')).toThrow(
      expect.objectContaining({ code: 'EAGAIN', message: expect.stringMatching(/^a try: /) }),
    );
    const all = encodeMessage(RTM_GETLINK, NLM_F_DUMP, linkHeader(0));
    expect(() => addon.netlinkRequest(all, 99, 'a try')).toThrow(expect.objectContaining({ code: 'E2BIG' }));
  });
  it('has sockets for events that can be closed twice, and say so', () => {
    const events = new addon.NetlinkEvents(1, 1);
    expect(events.receive()).toBeNull();
    events.close();
    events.close();
    expect(() => events.receive()).toThrow(expect.objectContaining({ code: 'EBADF' }));
    expect(() => Reflect.construct(addon.NetlinkEvents, [-1, 1])).toThrow();
  });
  it('is not asked about what is no address, and no interface', () => {
    expect(() => changeLink('lo', { address: '00:16:3e' })).toThrow('"00:16:3e" is no MAC address');
    expect(() => changeLink('no-such-link', { up: true })).toThrow(
      'there is no network interface no-such-link',
    );
    expect(() => createLink('a'.repeat(20), { kind: 'bridge' })).toThrow(/cannot make the bridge a+: /);
  });
});

describe('a pair of sockets', () => {
  it('takes what nobody has read yet, more than sockets do by themselves', async () => {
    const sent = Buffer.alloc(300_000, 'x');
    const { ours, theirs } = socketPair(200_000);
    const other = new Socket({ fd: theirs });
    await new Promise((resolve) => other.write(sent, resolve));
    other.end();
    const received: Buffer[] = [];
    ours.on('data', (chunk) => received.push(chunk));
    await once(ours, 'close');
    expect(Buffer.concat(received).equals(sent)).toBe(true);
  });
  it.each([[-1], [2 ** 30 + 1], [undefined]])('is not made with room for %s bytes', (bytes) => {
    expect(() => Reflect.apply(addon.socketPair, undefined, [bytes])).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });
});
