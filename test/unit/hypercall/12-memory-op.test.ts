/** memory_op: what a domU may know of memory, and giving frames up and back. */
import { afterEach, describe, expect, it } from 'vitest';
import { MAX_MEMORY_OP_FRAMES } from '../../../src/base/limits.js';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { e820entry } from '../../../src/xenner/abi/e820.js';
import {
  EACCES,
  EDOM,
  EFAULT,
  EINVAL,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
} from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/memory.js';
import { DOMID_SELF, shared_info } from '../../../src/xenner/abi/xen.js';
import type { FreeFrames } from '../../../src/xenner/domain/free-frames.js';
import { memory_op } from '../../../src/xenner/hypercall/12-memory-op.js';
import { PGT_l1_page_table, PGT_writable_page } from '../../../src/xenner/monitor/vcpu-area.js';
import {
  BAD_POINTERS,
  FIRST_UNMAPPED_MFN as FREE,
  type Guest,
  guests,
  READ_ONLY_VA,
  UNMAPPED_VA,
} from './guest.js';
import { DOMID, L1_MFN, NR_PAGES, TOTAL_PAGES, va } from './harness.js';
import { change, decrease, INVALID, list, m2p, readList } from './memory-guest.js';

const { open, closeAll } = guests();
afterEach(closeAll);

const { XENMEM_decrease_reservation: DECREASE, XENMEM_increase_reservation: INCREASE } = abi;
const { XENMEM_populate_physmap: POPULATE } = abi;

describe('decrease_reservation', () => {
  it('makes frames unusable, and the reservation smaller', () => {
    const guest = open();
    const { pages } = guest.domain;
    pages.setM2p(FREE, 77, 0);
    expect(decrease(guest, [FREE, FREE + 5])).toBe(2);
    expect([m2p(guest, FREE), pages.isOwned(FREE), pages.isOwned(FREE + 1)]).toEqual([INVALID, false, true]);
    expect(pages.getPageType(guest.vcpus[0]!, FREE, PGT_l1_page_table)).toBe(-EINVAL);
    const self = guest.put(abi.xen_memory_domain, { domid: DOMID_SELF });
    expect(guest.result(memory_op, [abi.XENMEM_current_reservation, self])).toBe(NR_PAGES - 2);
    expect(guest.result(memory_op, [abi.XENMEM_maximum_reservation, self])).toBe(NR_PAGES);
  });
  it('empties frames, but for those that something refers to', () => {
    const guest = open();
    const { memory, vcpus } = guest;
    for (let i = 0; i < 3; i++) memory.fill(gpa((FREE + i) * 4096), 4096, 0x5a);
    expect(guest.domain.pages.getPageType(vcpus[0]!, FREE + 1, PGT_writable_page)).toBe(0);
    expect(decrease(guest, [FREE + 2, FREE, FREE + 1])).toBe(3);
    expect([0, 1, 2].map((i) => memory.readU8(gpa((FREE + i) * 4096 + 4095)))).toEqual([0, 0x5a, 0]);
    // A back end may still write to what it had mapped: whoever gets the frame finds nothing of that.
    memory.writeU8(gpa(FREE * 4096), 1);
    guest.domain.pages.putPageType(vcpus[0]!, FREE + 1, PGT_writable_page);
    const frames = list(guest, [1, 2]);
    expect(change(guest, POPULATE, { extent_start: frames, nr_extents: 2n })).toBe(2);
    expect(readList(guest, frames, 2)).toEqual([FREE, FREE + 1]);
    expect([0, 1].map((i) => memory.readU8(gpa((FREE + i) * 4096)))).toEqual([0, 0]);
  });

  const cases: Array<{ name: string; op: (guest: Guest) => unknown; expect: unknown }> = [
    { name: 'twice', op: (g) => decrease(g, [FREE, FREE, FREE + 1]), expect: 1 },
    { name: 'one of Xen', op: (g) => decrease(g, [NR_PAGES]), expect: 0 },
    { name: 'one that does not exist', op: (g) => decrease(g, [TOTAL_PAGES, FREE]), expect: 0 },
    { name: 'one beyond numbers', op: (g) => decrease(g, [INVALID, 2n ** 53n + 1n]), expect: 0 },
    {
      name: '2 MiB',
      op: (g) => [decrease(g, [FREE], { extent_order: 9 }), g.domain.freeFrames.count],
      expect: [1, 512],
    },
    {
      name: '2 MiB that end in Xen: up to there',
      op: (g) => [decrease(g, [NR_PAGES - 256], { extent_order: 9 }), g.domain.freeFrames.count],
      expect: [0, 256],
    },
    { name: '4 MiB', op: (g) => decrease(g, [0], { extent_order: 10 }), expect: 0 },
    {
      name: 'an order that shifts to nothing',
      op: (g) => decrease(g, [FREE], { extent_order: 64 }),
      expect: 0,
    },
    { name: 'of domain 0', op: (g) => decrease(g, [FREE], { domid: 0 }), expect: 0 },
    { name: 'by own number', op: (g) => decrease(g, [FREE], { domid: DOMID }), expect: 1 },
    { name: 'of nobody', op: (g) => decrease(g, [FREE], { domid: 99 }), expect: 0 },
    { name: 'an address limit of nothing', op: (g) => decrease(g, [FREE], { mem_flags: 12 }), expect: 0 },
    { name: 'too many extents', op: (g) => decrease(g, [FREE], { nr_extents: 2n ** 26n }), expect: 0 },
    { name: 'no extents', op: (g) => decrease(g, [FREE], { nr_extents: 0n }), expect: 0 },
    {
      name: 'from a list that ends in unmapped memory',
      op: (g) => {
        const last = va(511 * 4096 + 4088);
        g.vcpus[0]!.guest.writeU64(last, BigInt(FREE));
        return decrease(g, [], { extent_start: last, nr_extents: 2n });
      },
      expect: 1,
    },
    {
      name: 'from nowhere',
      op: (g) => decrease(g, [], { extent_start: UNMAPPED_VA, nr_extents: 1n }),
      expect: 0,
    },
    {
      name: 'going on where it was interrupted',
      op: (g) => {
        const extents = { extent_start: list(g, [FREE, FREE + 1, FREE + 2]), nr_extents: 3n };
        return [
          change(g, DECREASE, extents, 1),
          g.domain.freeFrames.isUnused(FREE),
          change(g, DECREASE, extents, 3),
        ];
      },
      expect: [3, true, 3],
    },
    {
      name: 'where it cannot be read: what was done before',
      op: (g) => g.result(memory_op, [DECREASE | (5 << 6), UNMAPPED_VA]),
      expect: 5,
    },
    {
      name: 'with a start that no extent has',
      op: (g) => g.call(memory_op, [2n ** 64n - 64n + BigInt(DECREASE), UNMAPPED_VA]),
      expect: 2n ** 58n - 1n,
    },
  ];
  it.each(cases)('$name', ({ op, expect: expected }) => {
    expect(op(open())).toEqual(expected);
  });
  it('of a frame that is still mapped: it stays as it is, and nobody gets it', () => {
    const guest = open();
    const mapped = 100;
    expect(decrease(guest, [mapped])).toBe(1);
    expect(guest.domain.pages.typeOf(mapped)).toBe(PGT_writable_page);
    expect(change(guest, INCREASE, { nr_extents: 1n })).toBe(0);
    guest.domain.pages.putPageType(guest.vcpus[0]!, mapped, PGT_writable_page);
    expect(change(guest, INCREASE, { nr_extents: 1n })).toBe(1);
    expect(guest.domain.pages.isOwned(mapped)).toBe(true);
  });
  it('of a page table that is in use: the same', () => {
    const guest = open();
    expect([decrease(guest, [L1_MFN]), change(guest, INCREASE, { nr_extents: 1n })]).toEqual([1, 0]);
    expect(guest.domain.pages.typeOf(L1_MFN)).toBe(PGT_l1_page_table);
  });
});

describe('increase_reservation and populate_physmap', () => {
  function withFree(...mfns: number[]): Guest {
    const guest = open();
    expect(decrease(guest, mfns)).toBe(mfns.length);
    return guest;
  }
  it('give back the lowest frames that were given up', () => {
    const guest = withFree(FREE + 9, FREE + 3, FREE + 40);
    const at = list(guest, [0, 0]);
    expect(change(guest, INCREASE, { extent_start: at, nr_extents: 2n })).toBe(2);
    expect(readList(guest, at, 2)).toEqual([FREE + 3, FREE + 9]);
    expect([guest.domain.pages.isOwned(FREE + 3), guest.domain.freeFrames.count]).toEqual([true, 1]);
    expect(m2p(guest, FREE + 3)).toBe(INVALID);
  });
  it('give no more than there is', () => {
    const guest = withFree(FREE);
    const at = list(guest, [0, 7]);
    expect(change(guest, INCREASE, { extent_start: at, nr_extents: 2n })).toBe(1);
    expect(readList(guest, at, 2)).toEqual([FREE, 7]);
  });
  it('need not tell which frames they were', () => {
    expect(change(withFree(FREE), INCREASE, { nr_extents: 1n })).toBe(1);
  });
  it('keep a frame given to a guest that cannot be told', () => {
    const guest = withFree(FREE);
    expect(change(guest, INCREASE, { extent_start: READ_ONLY_VA, nr_extents: 1n })).toBe(0);
    expect([guest.domain.pages.isOwned(FREE), guest.domain.freeFrames.count]).toEqual([true, 0]);
  });
  it('give extents in a row, aligned', () => {
    const guest = withFree(...Array.from({ length: 9 }, (_, i) => FREE + 2 + i));
    const at = list(guest, [0, 0, 0]);
    expect(change(guest, INCREASE, { extent_start: at, nr_extents: 3n, extent_order: 2 })).toBe(1);
    expect(readList(guest, at, 1)).toEqual([FREE + 4]);
  });
  it('give 2 MiB again', () => {
    const guest = open();
    const at = list(guest, [FREE]);
    const extents = { extent_start: at, nr_extents: 1n, extent_order: 9 };
    expect([change(guest, DECREASE, extents), change(guest, POPULATE, extents)]).toEqual([1, 1]);
    expect([guest.domain.freeFrames.count, m2p(guest, FREE + 511)]).toEqual([0, BigInt(FREE + 511)]);
  });
  it('keep to an address limit', () => {
    const guest = withFree(FREE + 1);
    // 21 bits: frames below 512.
    expect(change(guest, INCREASE, { nr_extents: 1n, mem_flags: 21 })).toBe(0);
    expect(change(guest, INCREASE, { nr_extents: 1n, mem_flags: 22 })).toBe(1);
  });
  it('go as far as one call goes', () => {
    const guest = open();
    guest.domain.freeFrames = { take: () => FREE } as unknown as FreeFrames;
    expect(change(guest, INCREASE, { nr_extents: 2n ** 25n })).toBe(MAX_MEMORY_OP_FRAMES);
    expect(change(guest, INCREASE, { nr_extents: 2n ** 25n, extent_order: 9 }, 7)).toBe(
      7 + MAX_MEMORY_OP_FRAMES / 512,
    );
  });
  it('populate a frame number of the guest: any', () => {
    const guest = withFree(FREE, FREE + 1);
    const at = list(guest, [NR_PAGES + 50, 2n ** 64n - 2n]);
    expect(change(guest, POPULATE, { extent_start: at, nr_extents: 2n })).toBe(2);
    expect(readList(guest, at, 2)).toEqual([FREE, FREE + 1]);
    expect([m2p(guest, FREE), m2p(guest, FREE + 1)]).toEqual([BigInt(NR_PAGES + 50), 2n ** 64n - 2n]);
  });
  it('do not populate on demand, or from nowhere', () => {
    const guest = withFree(FREE);
    const at = list(guest, [FREE]);
    const mem_flags = abi.XENMEMF_populate_on_demand;
    expect(change(guest, POPULATE, { extent_start: at, nr_extents: 1n, mem_flags })).toBe(0);
    expect(change(guest, POPULATE, { extent_start: UNMAPPED_VA, nr_extents: 1n })).toBe(0);
    expect(guest.domain.freeFrames.count).toBe(1);
  });
});

describe('what a guest may know', () => {
  it('one piece of RAM', () => {
    const guest = open();
    const buffer = guest.room(64);
    const ask = (nr_entries: number, at = buffer) => {
      const arg = guest.put(abi.xen_memory_map, { nr_entries, buffer: at });
      return [
        guest.result(memory_op, [abi.XENMEM_memory_map, arg]),
        guest.get(abi.xen_memory_map, arg).nr_entries,
      ];
    };
    expect(ask(0xffffffff)).toEqual([0, 1]);
    expect(guest.get(e820entry, buffer)).toEqual({ addr: 0n, size: BigInt(NR_PAGES * 4096), type: 1 });
    expect([ask(0), ask(1, 0n), ask(1, READ_ONLY_VA)]).toEqual([
      [0, 0],
      [-EINVAL, 1],
      [-EFAULT, 1],
    ]);
  });
  it('where the machine-to-phys table is', () => {
    const guest = open();
    const arg = guest.room(64);
    expect(guest.result(memory_op, [abi.XENMEM_machphys_mapping, arg])).toBe(0);
    expect(guest.get(abi.xen_machphys_mapping, arg)).toEqual({
      v_start: 0xffff800000000000n,
      v_end: 0xffff804000000000n,
      max_mfn: BigInt(TOTAL_PAGES - 1),
    });
    const extent_start = guest.room(64);
    const list_arg = (max_extents: number, at = extent_start) =>
      guest.put(abi.xen_machphys_mfn_list, { max_extents, extent_start: at });
    const all = list_arg(0xffffffff);
    expect(guest.result(memory_op, [abi.XENMEM_machphys_mfn_list, all])).toBe(0);
    expect(guest.get(abi.xen_machphys_mfn_list, all).nr_extents).toBe(1);
    expect(readList(guest, extent_start, 1)).toEqual([guest.domain.m2p / 4096]);
    expect(guest.result(memory_op, [abi.XENMEM_machphys_mfn_list, list_arg(1, READ_ONLY_VA)])).toBe(-EFAULT);
    expect(guest.result(memory_op, [abi.XENMEM_machphys_mfn_list, list_arg(0, READ_ONLY_VA)])).toBe(0);
  });
  it('its own highest frame', () => {
    const guest = open();
    const self = guest.put(abi.xen_memory_domain, { domid: DOMID_SELF });
    const ask = () => guest.call(memory_op, [abi.XENMEM_maximum_gpfn, self]);
    expect(ask()).toBe(0n);
    guest.memory.writeU64(gpa(guest.domain.sharedInfo + shared_info.offsetof('arch.max_pfn')), 1000n);
    expect(ask()).toBe(999n);
  });
  const at = (guest: Guest, domid: number) => guest.put(abi.xen_memory_domain, { domid });
  const cases: Array<{ name: string; op: (guest: Guest) => [number, bigint | number]; expect: number }> = [
    { name: 'maximum_ram_page', op: () => [abi.XENMEM_maximum_ram_page, 0], expect: TOTAL_PAGES },
    {
      name: 'current_reservation',
      op: (g) => [abi.XENMEM_current_reservation, at(g, DOMID)],
      expect: NR_PAGES,
    },
    {
      name: 'current_reservation of domain 0',
      op: (g) => [abi.XENMEM_current_reservation, at(g, 0)],
      expect: -EPERM,
    },
    {
      name: 'maximum_reservation of nobody',
      op: (g) => [abi.XENMEM_maximum_reservation, at(g, 5)],
      expect: -ESRCH,
    },
    { name: 'maximum_gpfn of nobody', op: (g) => [abi.XENMEM_maximum_gpfn, at(g, 5)], expect: -ESRCH },
    { name: 'machine_memory_map', op: () => [abi.XENMEM_machine_memory_map, 0], expect: -EPERM },
    { name: 'set_memory_map', op: () => [abi.XENMEM_set_memory_map, 0], expect: -ENOSYS },
    {
      name: 'add_to_physmap',
      op: (g) => [abi.XENMEM_add_to_physmap, g.put(abi.xen_add_to_physmap, { domid: DOMID_SELF })],
      expect: -EACCES,
    },
    {
      name: 'add_to_physmap of nobody',
      op: (g) => [abi.XENMEM_add_to_physmap, g.put(abi.xen_add_to_physmap, { domid: 9 })],
      expect: -ESRCH,
    },
    {
      name: 'add_to_physmap of a foreign frame',
      op: (g) => [
        abi.XENMEM_add_to_physmap,
        g.put(abi.xen_add_to_physmap, { space: abi.XENMAPSPACE_gmfn_foreign }),
      ],
      expect: -ENOSYS,
    },
    {
      name: 'add_to_physmap from too far on',
      op: () => [abi.XENMEM_add_to_physmap | (0x10000 << 6), 0],
      expect: -EDOM,
    },
    {
      name: 'add_to_physmap_batch',
      op: (g) => [abi.XENMEM_add_to_physmap_batch, g.put(abi.xen_add_to_physmap_batch, { domid: 0 })],
      expect: -EACCES,
    },
    {
      name: 'add_to_physmap_batch of a range',
      op: (g) => [
        abi.XENMEM_add_to_physmap_batch,
        g.put(abi.xen_add_to_physmap_batch, { space: abi.XENMAPSPACE_gmfn_range }),
      ],
      expect: -EOPNOTSUPP,
    },
    {
      name: 'remove_from_physmap',
      op: (g) => [abi.XENMEM_remove_from_physmap, g.put(abi.xen_remove_from_physmap, { domid: DOMID })],
      expect: -EACCES,
    },
    {
      name: 'get_pod_target',
      op: (g) => [abi.XENMEM_get_pod_target, g.put(abi.xen_pod_target, { domid: DOMID_SELF })],
      expect: -EPERM,
    },
    {
      name: 'get_vnumainfo',
      op: (g) => [abi.XENMEM_get_vnumainfo, g.put(abi.xen_vnuma_topology_info, { domid: DOMID_SELF })],
      expect: -EOPNOTSUPP,
    },
    {
      name: 'acquire_resource',
      op: (g) => [abi.XENMEM_acquire_resource, g.put(abi.xen_mem_acquire_resource, { domid: DOMID_SELF })],
      expect: -EPERM,
    },
    {
      name: 'acquire_resource with a bad frame',
      op: (g) => [abi.XENMEM_acquire_resource, g.put(abi.xen_mem_acquire_resource, { frame: 2n ** 32n })],
      expect: -EINVAL,
    },
    {
      name: 'an operation half-way that has no half',
      op: () => [abi.XENMEM_maximum_ram_page | 64, 0],
      expect: -EINVAL,
    },
    { name: 'no such operation', op: () => [63, 0], expect: -ENOSYS },
  ];
  it.each(cases)('$name', ({ op, expect: expected }) => {
    const guest = open();
    expect(guest.result(memory_op, op(guest))).toBe(expected);
  });
  const structures = [3, 4, 5, 7, 9, 11, 12, 14, 15, 16, 17, 23, 26, 28];
  it.each(structures)('operation %i on what cannot be read', (op) => {
    const guest = open();
    expect(BAD_POINTERS.map((pointer) => guest.result(memory_op, [op, pointer]))).toEqual(
      BAD_POINTERS.map(() => -EFAULT),
    );
  });
});
