import { describe, expect, it } from 'vitest';
import { MAX_GDB_PACKET_BYTES } from '../../../src/base/limits.js';
import { encodePacket, PacketReader, ProtocolError } from '../../../src/xenner/gdb/packet.js';

/** What came in, as text; the same however the stream is cut. */
function read(stream: string, piece = stream.length): string[] {
  const reader = new PacketReader();
  const found: string[] = [];
  const bytes = Buffer.from(stream, 'latin1');
  for (let at = 0; at < bytes.length; at += piece) {
    for (const input of reader.feed(bytes.subarray(at, at + piece))) {
      found.push(typeof input === 'string' ? `<${input}>` : input.toString('latin1'));
    }
  }
  return found;
}

describe('what a client sends', () => {
  it.each([
    ['a packet', '$g#67', ['g']],
    ['one after the other, with acknowledgements', '+$g#67+$?#3f', ['g', '?']],
    ['upper-case digits', '$m0,4#FD', ['m0,4']],
    ['nothing in it', '$#00', ['']],
    ['a wrong checksum', '$g#68$g#67', ['<damaged>', 'g']],
    ['no checksum', '$g#xy', ['<damaged>']],
    ['Ctrl-C between packets', '\x03$g#67\x03', ['<interrupt>', 'g', '<interrupt>']],
    ['Ctrl-C inside of one is data', '$\x03#03', ['\x03']],
    ['escapes', '$}\x03}\x04}]}\x0a#62', ['#$}*']],
    ['an escape at the end', '$}#7d', ['}']],
    ['a packet that begins anew', '$abc$g#67', ['g']],
    ['noise', 'hello\r\n$g#67', ['g']],
    ['the beginning of one', '$g#6', []],
  ])('%s', (_, stream, expected) => {
    for (let piece = 1; piece <= stream.length; piece++) expect(read(stream, piece)).toEqual(expected);
  });

  it('is bounded', () => {
    const reader = new PacketReader();
    const most = Buffer.from(`$${'x'.repeat(MAX_GDB_PACKET_BYTES)}`);
    expect([...reader.feed(most)]).toEqual([]);
    expect(() => [...reader.feed(Buffer.from('x'))]).toThrow(ProtocolError);
  });
});

describe('what it is sent', () => {
  it.each([
    ['OK', '$OK#9a'],
    ['', '$#00'],
    ['#$}*', '$}\x03}\x04}]}\x0a#62'],
    ['\xff\x00', '$\xff\x00#ff'],
  ])('%j', (data, expected) => {
    expect(encodePacket(data).toString('latin1')).toBe(expected);
  });

  it('comes back as it was', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('latin1');
    expect(read(encodePacket(all).toString('latin1'))).toEqual([all]);
  });
});
