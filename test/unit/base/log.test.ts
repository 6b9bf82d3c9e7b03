import { describe, expect, it } from 'vitest';
import { createLogger, parseTopics, TOPICS } from '../../../src/base/log.js';

function collect() {
  const lines: Array<Record<string, unknown>> = [];
  return { lines, destination: { write: (line: string) => void lines.push(JSON.parse(line)) } };
}

describe('createLogger', () => {
  it('writes topics that were asked for, and no others', () => {
    const { lines, destination } = collect();
    const log = createLogger(['evtchn'], destination);
    log.trace('evtchn', 'bound', { port: 7 });
    log.trace('mmu', 'pinned');
    expect(lines).toMatchObject([{ topic: 'evtchn', port: 7, msg: 'bound' }]);
    expect(log.traces('evtchn')).toBe(true);
    expect(log.traces('mmu')).toBe(false);
  });

  it('warns once a key, and for so many keys only', () => {
    const { lines, destination } = collect();
    const log = createLogger([], destination);
    for (let i = 0; i < 3; i++) log.warnOnce('same', 'first');
    for (let i = 0; i < 1000; i++) log.warnOnce(`key ${i}`, 'other');
    expect(lines.filter((line) => line.msg === 'first').length).toBe(1);
    expect(lines.length).toBe(256);
  });
});

describe('parseTopics', () => {
  it.each([
    ['hypercall', ['hypercall']],
    ['evtchn, mmu', ['evtchn', 'mmu']],
    ['all', [...TOPICS]],
    ['nonsense', undefined],
    ['evtchn,', undefined],
    ['', undefined],
  ])('%j', (text, expected) => {
    expect(parseTopics(text)).toEqual(expected);
  });
});
