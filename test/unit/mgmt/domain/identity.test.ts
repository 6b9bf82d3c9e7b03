/** Addresses and UUIDs that a definition leaves open: the same each time, and nobody else's. */
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../../../src/mgmt/domain/config/read.js';
import { macFor, uuidFor, withIdentity } from '../../../../src/mgmt/domain/identity.js';

const read = (text: string) => readConfig(Buffer.from(text)).definition;

describe('identity', () => {
  it('fills in what is missing, and only that', () => {
    const given = 'uuid="01234567-89ab-cdef-0123-456789abcdef"\nvif=["mac=00:16:3e:00:00:01","",""]';
    const { uuid, nics } = withIdentity(read(`name="a"\nkernel="/k"\n${given}`));
    expect(uuid).toBe('01234567-89ab-cdef-0123-456789abcdef');
    expect(nics[0]?.mac).toBe('00:16:3e:00:00:01');
    expect(nics[1]?.mac).toMatch(/^00:16:3e:[0-7][\da-f](:[\da-f]{2}){2}$/);
    expect(nics[1]?.mac).not.toBe(nics[2]?.mac);
  });

  it('is the same for the same domain, and another for another or another host', () => {
    const one = withIdentity(read('name="a"'));
    expect(withIdentity(read('name="a"'))).toEqual(one);
    expect(withIdentity(read('name="b"')).uuid).not.toBe(one.uuid);
    expect(withIdentity(read('name="a"'), 'host2').uuid).not.toBe(one.uuid);
  });

  it('makes what is valid', () => {
    for (let i = 0; i < 200; i++) {
      expect(uuidFor(String(i))).toMatch(/^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
      expect(macFor(String(i))).toMatch(/^00:16:3e:[0-7][\da-f](:[\da-f]{2}){2}$/);
    }
  });
});
