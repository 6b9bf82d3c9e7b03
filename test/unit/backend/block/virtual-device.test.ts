/** Names of disks against numbers that xl gives them (docs/misc/vbd-interface.txt, libxl__device_disk_dev_number). */
import { describe, expect, it } from 'vitest';
import {
  virtualDeviceName,
  virtualDeviceNumber,
} from '../../../../src/xenner/backend/block/virtual-device.js';

it.each([
  ['xvda', 51712],
  ['xvda1', 51713],
  ['xvda15', 51727],
  ['xvda16', 268435472],
  ['xvda255', 268435711],
  ['xvdb', 51728],
  ['xvdp', 51952],
  ['xvdp15', 51967],
  ['xvdq', 268439552],
  ['xvdq1', 268439553],
  ['xvdz', 268441856],
  ['xvdaa', 268442112],
  ['xvdzz', 268435456 + 701 * 256],
  ['sda', 2048],
  ['sda1', 2049],
  ['sdp15', 2303],
  ['hda', 768],
  ['hdb', 832],
  ['hdb63', 895],
  ['hdc', 5632],
  ['hdd1', 5697],
])('%s is %i', (name, number) => {
  expect(virtualDeviceNumber(name)).toBe(number);
  expect(virtualDeviceName(number)).toBe(name);
});

describe('no device', () => {
  it.each([
    '',
    'xvd',
    'xvd1',
    'xvda0',
    'xvda01',
    'xvda256',
    'xvdA',
    'xvdzzzzz',
    'sdq',
    'sda16',
    'hde',
    'hda64',
  ])('is called %j', (name) => {
    expect(virtualDeviceNumber(name)).toBeUndefined();
  });
  it.each(['vda', 'xvda ', ' xvda', 'xvda1p', 'xvda-1', '51712', `xvd${'a'.repeat(1000)}`])(
    'is called %j',
    (name) => {
      expect(virtualDeviceNumber(name)).toBeUndefined();
    },
  );
  it.each([-1, 0, 0.5, 767, 896, 5760, 2304, 51968, 268435456, 268435471, 536870912, Number.NaN])(
    'has the number %d',
    (number) => {
      expect(virtualDeviceName(number)).toBeUndefined();
    },
  );
  it('is lost between the largest name and its number', () => {
    const number = 268435456 + (2 ** 20 - 1) * 256 + 255;
    expect(virtualDeviceNumber(virtualDeviceName(number)!)).toBe(number);
  });
});
