/** The hypercall page's MSR: test/guest/hypercall-page-msr shows what a kernel sees of it. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { writeHypercallMsr } from '../../../src/xenner/domain/hypercall-msr.js';
import { L1_MFN } from '../hypercall/harness.js';
import { MmGuest, PAGE, SHARED_MFN, XEN_MFN } from '../mm/guest.js';

let guest: MmGuest;
beforeEach(() => {
  guest = new MmGuest();
});
afterEach(() => guest.close());

const write = (value: bigint) => writeHypercallMsr(guest.vcpus[0]!, value);

it('fills the page with calls, tells the CPU, and holds nothing', () => {
  const mfn = guest.page(true);
  const before = guest.count(mfn);
  expect(write(BigInt(mfn * PAGE))).toBe(0);
  // push %rcx; push %r11; mov $1,%eax; syscall
  expect([...guest.memory.bytes(gpa(mfn * PAGE + 32), 10)]).toEqual([
    0x51, 0x41, 0x53, 0xb8, 1, 0, 0, 0, 0x0f, 0x05,
  ]);
  expect(guest.written).toEqual([[mfn * PAGE, PAGE]]);
  expect(guest.count(mfn)).toBe(before);
});

it.each([
  { what: 'a page table', value: () => BigInt(L1_MFN * PAGE) },
  { what: "Xen's frame", value: () => BigInt(XEN_MFN * PAGE) },
  { what: 'shared_info', value: () => BigInt(SHARED_MFN * PAGE) },
  { what: 'no frame', value: () => 2n ** 64n - BigInt(PAGE) },
  { what: 'a page that there is not', value: () => BigInt(guest.page() * PAGE + 1) },
])('refuses $what', ({ value }) => {
  expect(write(value())).toBeLessThan(0);
  expect(guest.written).toEqual([]);
});
