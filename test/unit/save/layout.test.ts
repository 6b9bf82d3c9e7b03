/** A saved guest goes on with its own monitor: what that and the hypervisor share may not change without a new LAYOUT_VERSION. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { layoutXenFrames } from '../../../src/xenner/monitor/frames.js';
import { LAYOUT_VERSION } from '../../../src/xenner/save/save-file.js';

const HEADER = new URL('../../../native/monitor/vcpu_area.h', import.meta.url);

it('the layout of this LAYOUT_VERSION is the one that it had: raise it, and put the new hash here', () => {
  const text = readFileSync(HEADER, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const words = text.split(/\s+/).join(' ');
  const frames = JSON.stringify([layoutXenFrames(16_384, 1, 32), layoutXenFrames(1_048_576, 16, 64)]);
  const hash = createHash('sha256').update(words).update(frames).digest('hex');
  expect([LAYOUT_VERSION, hash.slice(0, 16)]).toEqual([4, 'da9df5278cac6f5a']);
});
