/** A PV kernel under the real GDB: on the soft engine here, on KVM in test/lab/gdb.lab.ts. */
import { describe, expect, it } from 'vitest';
import type { Gdb } from './gdb.js';
import { missingGdb, withGuest } from './guest.js';

const reason = missingGdb();
const suite = `gdb${reason === undefined ? '' : ` (skipped: ${reason})`}`;
/** As in kernel/main.c. */
const MEETINGS = 6;
const rip = (gdb: Gdb) => gdb.value('$rip');

describe.skipIf(reason !== undefined)(suite, { timeout: 180_000 }, () => {
  it('has the guest wait at its first instruction, with registers and memory', () =>
    withGuest({}, async (guest) => {
      const gdb = await guest.attach();
      expect(await rip(gdb)).toBe(await gdb.value('_start'));
      expect((await gdb.value('$cs')) & 3n).toBe(1n);
      expect(await gdb.value('$cr3 & 0xfff')).toBe(0n);
      expect(await gdb.value('$efer & 0x500')).toBe(0x500n);
      expect(await gdb.run('x/i $rip')).toMatch(/<_start>:\s+cld/);
      expect(await gdb.run('info registers rflags')).not.toMatch(/TF/);
      expect(await gdb.run('x/1gx 0')).toMatch(/Cannot access memory at address 0x0/);
      // The machine-to-phys table can be read, like all that is mapped, and is not to be written.
      expect(await gdb.value('*(unsigned long *)0xffff800000000000')).toBe(0n);
      expect(await gdb.run('set *(unsigned long *)0xffff800000000000 = 1')).toMatch(/Cannot access/);
      expect(await gdb.run('set $cr3 = 0')).toMatch(/Could not write register "cr3"/);
    }));

  it.each([true, false])(
    'steps over system calls to Xen as over any other instruction (fast paths: %s)',
    (fastPaths) =>
      withGuest({ fastPaths }, async (guest) => {
        const gdb = await guest.attach();
        await gdb.run('break *call_xen_syscall');
        expect(await gdb.run('continue')).toMatch(/Breakpoint 1/);
        await gdb.run('stepi');
        expect(await rip(gdb)).toBe(await gdb.value('&call_xen_after'));
        expect(await gdb.value('$rax')).toBe(0x40011n);
        expect(await gdb.value('$r11 & 0x100')).toBe(0n);
        await gdb.run('delete');
        await gdb.run('tbreak flags_pushed');
        await gdb.run('continue');
        for (let i = 0; i < 5; i++) await gdb.run('stepi');
        expect(await gdb.value('$rax & 0x100')).toBe(0n);
        await gdb.run('tbreak touch');
        await gdb.run('continue');
        // Into the #PF handler, and out of it by its iret.
        await gdb.run('stepi');
        expect(await gdb.run('x/i $rip')).toMatch(/trap_stubs/);
        await gdb.run('tbreak *touch_after');
        await gdb.run('continue');
        await gdb.run('detach');
        await guest.console.expect(/trap flag seen: 0/);
      }),
  );

  it('hits breakpoints in ring 3, and steps from there into the kernel and back', () =>
    withGuest({}, async (guest) => {
      const gdb = await guest.attach();
      await gdb.run('hbreak catch_user');
      await gdb.run('continue');
      const user = await gdb.value('user_entry');
      await gdb.run(`break *${user}`);
      expect(await gdb.run('continue')).toMatch(/Breakpoint 2/);
      expect((await gdb.value('$cs')) & 3n).toBe(3n);
      expect(await gdb.value('$rdi')).toBe(41n);
      await gdb.run('stepi');
      expect(await gdb.value('$rbx')).toBe(42n);
      await gdb.run('stepi');
      expect(await rip(gdb)).toBe(await gdb.value('&syscall_callback'));
      expect((await gdb.value('$cs')) & 3n).toBe(1n);
      // The frame of create_bounce_frame: rcx, r11, rip, cs, rflags.
      expect(await gdb.value('((unsigned long *)$rsp)[4] & 0x100')).toBe(0n);
      await gdb.run('delete');
      await gdb.run('detach');
      await guest.console.expect(/user: syscall, rbx 42/);
      expect(await guest.console.expect(/spinning/)).toBeTruthy();
    }));

  it('stops at watchpoints, of writes and of accesses', () =>
    withGuest({}, async (guest) => {
      const gdb = await guest.attach();
      await gdb.run('watch watched');
      expect(await gdb.run('continue')).toMatch(
        /Hardware watchpoint 1: watched\s+Old value = 0\s+New value = 1/,
      );
      expect(await gdb.run('backtrace 1')).toMatch(/write_watched/);
      expect(await gdb.run('continue')).toMatch(/Old value = 1\s+New value = 2/);
      await gdb.run('delete');
      // The CPU has none of reads alone: gdb makes one of a point at all accesses.
      await gdb.run('rwatch answer');
      await gdb.run('awatch answer');
      expect(await gdb.run('continue')).toMatch(/read watchpoint 2: answer\s+Value = 1/);
      await gdb.run('delete');
      for (let i = 0; i < 4; i++) await gdb.run(`watch *(char *)(&second_counter + ${i})`);
      await gdb.run('hbreak start_second');
      await gdb.run('watch released');
      expect(await gdb.run('continue')).toMatch(/Could not insert hardware watchpoint/);
    }));

  it('changes registers, memory and code', () =>
    withGuest({}, async (guest) => {
      const gdb = await guest.attach();
      await gdb.run('break read_answer');
      await gdb.run('continue');
      await gdb.run('set var answer = 42');
      await gdb.run('delete');
      await gdb.run('finish');
      expect(await gdb.value('$rax')).toBe(42n);
      await gdb.run('set $rax = 43');
      expect(await gdb.run('info registers mxcsr fctrl')).toMatch(/0x1f80[\s\S]*0x37f/);
      await gdb.run('set $xmm3.v2_int64[1] = 77');
      expect(await gdb.run('set $cr0 = 0')).toMatch(/Could not write/);
      await gdb.run('stepi');
      expect(await gdb.run('output $xmm3.v2_int64')).toMatch(/\{0, 77\}/);
      // Code that has run already: spin's loop is left at once, by two NOPs where its JE is.
      await gdb.run('tbreak spin');
      await gdb.run('continue');
      await gdb.run('set *(unsigned short *)(&spin_end - 2) = 0x9090');
      await gdb.run('detach');
      await guest.console.expect(/answer 43/);
      await guest.console.expect(/released/);
      expect(await guest.ended).toEqual({ reason: 'poweroff' });
    }));

  it('interrupts a loop; steps in it meet no events, which come again afterwards', () =>
    withGuest({ wait: false }, async (guest) => {
      await guest.console.expect(/spinning/);
      const gdb = await guest.attach();
      await gdb.resume('continue');
      expect(await gdb.interrupt()).toMatch(/SIGINT/);
      const [start, end] = [await gdb.value('&spin'), await gdb.value('&spin_end')];
      await gdb.run('tbreak *(&spin + 2)');
      await gdb.run('continue');
      const before = await gdb.value('$rcx');
      for (let i = 0; i < 30; i++) {
        await gdb.run('stepi');
        expect(await rip(gdb)).toBeGreaterThanOrEqual(start);
        expect(await rip(gdb)).toBeLessThan(end);
      }
      expect(await gdb.value('$rcx')).toBe(before + 10n);
      const events = await gdb.value('upcalls');
      await gdb.run(`break count_upcalls if upcalls > ${events + 3n}`);
      expect(await gdb.run('continue')).toMatch(/Breakpoint/);
      await gdb.run('delete');
      await gdb.run('set var released = 1');
      await gdb.run('detach');
      await guest.console.expect(/released; events: some/);
      expect(await guest.ended).toEqual({ reason: 'poweroff' });
    }));

  it('shows vCPUs as threads, and steps one of them', () =>
    withGuest({ vcpus: 2 }, async (guest) => {
      const gdb = await guest.attach();
      expect(await gdb.run('info threads')).toMatch(/vCPU 1 is offline/);
      await gdb.run('break second_start');
      expect(await gdb.run('continue')).toMatch(/Thread 2 .*hit Breakpoint 1|Breakpoint 1/);
      expect(await gdb.run('info threads')).toMatch(/\* 2 .*vCPU 1 runs.*second_start/);
      await gdb.run('thread 1');
      const counter = await gdb.value('second_counter');
      await gdb.run('set scheduler-locking on');
      for (let i = 0; i < 20; i++) await gdb.run('stepi');
      expect(await gdb.value('second_counter')).toBe(counter);
      await gdb.run('thread 2');
      for (let i = 0; i < 20; i++) await gdb.run('stepi');
      expect(await gdb.value('second_counter')).toBeGreaterThan(counter);
      await gdb.run('set scheduler-locking off');
      await gdb.run('set var released = 1');
      await gdb.run('detach');
      expect(await guest.ended).toEqual({ reason: 'poweroff' });
    }));

  it('steps one vCPU while another one runs, and stops both', () =>
    withGuest({ vcpus: 2 }, async (guest) => {
      const gdb = await guest.attach();
      await gdb.run('tbreak spin');
      await gdb.run('continue');
      const counter = await gdb.value('second_counter');
      for (let i = 0; i < 20; i++) await gdb.run('stepi');
      const [start, end] = [await gdb.value('&spin'), await gdb.value('&spin_end')];
      expect(await rip(gdb)).toBeGreaterThanOrEqual(start);
      expect(await rip(gdb)).toBeLessThan(end);
      const counted = await gdb.value('second_counter');
      expect(counted).toBeGreaterThan(counter);
      // Nobody counts while gdb looks.
      expect(await gdb.run('info threads')).toMatch(/vCPU 1 runs.*second_start/);
      expect(await gdb.value('second_counter')).toBe(counted);
      await gdb.run('set var released = 1');
      await gdb.run('detach');
      expect(await guest.ended).toEqual({ reason: 'poweroff' });
    }));

  it.each([
    ['breakpoint', 'break meeting', /Breakpoint 1/],
    ['watchpoint', 'awatch met', /watchpoint 1: met/],
  ])('misses no %s that two vCPUs come to at once', (_, command, stop) =>
    withGuest({ vcpus: 2, cmdline: 'meet' }, async (guest) => {
      const gdb = await guest.attach();
      await gdb.run(command);
      const meetings: bigint[] = [];
      for (let i = 0; i < 2 * MEETINGS; i++) {
        expect(await gdb.run('continue')).toMatch(stop);
        meetings.push(await gdb.value('$_thread'));
      }
      expect(meetings.filter((thread) => thread === 2n)).toHaveLength(MEETINGS);
      await gdb.run('set var released = 1');
      expect(await gdb.run('continue')).toMatch(/exited normally/);
      expect(await guest.ended).toEqual({ reason: 'poweroff' });
    }),
  );

  it('lets all vCPUs go on when gdb dies while they run, and kills all', () =>
    withGuest({ vcpus: 2 }, async (guest) => {
      const first = await guest.attach();
      await first.run('break start_second');
      await first.run('continue');
      await first.resume('continue');
      await first.kill();
      await guest.console.expect(/spinning/);
      const second = await guest.attach();
      await second.run('hbreak count_upcalls');
      await second.run('continue');
      const counter = await second.value('second_counter');
      for (let i = 0; i < 5; i++) await second.run('continue');
      expect(await second.value('second_counter')).toBeGreaterThan(counter);
      expect(await second.run('kill')).toMatch(/killed/);
      expect(await guest.ended).toEqual({ reason: 'destroyed' });
    }));

  it('shows a vCPU that sleeps where it sleeps, and steps it to the end of its hypercall', () =>
    withGuest({ cmdline: 'sleep', wait: false }, async (guest) => {
      await guest.console.expect(/sleeping/);
      const gdb = await guest.attach();
      expect(await gdb.run('info threads')).toMatch(/vCPU 0 sleeps.*sleep_until_typed_at/);
      const asleep = await rip(gdb);
      await gdb.resume('stepi');
      expect(await gdb.interrupt()).toMatch(/SIGINT/);
      expect(await rip(gdb)).toBe(asleep);
      await gdb.resume('stepi');
      guest.domain.writeConsole('x');
      expect(await gdb.stopped()).not.toMatch(/SIGINT/);
      expect(await rip(gdb)).toBe(asleep);
      expect(await gdb.value('$rax')).toBe(0n);
      await gdb.run('set var released = 1');
      await gdb.run('detach');
      await guest.console.expect(/awake/);
      expect(await guest.ended).toEqual({ reason: 'poweroff' });
    }));

  it('lets go at detach, and when gdb dies; the next one finds the guest as it is', () =>
    withGuest({}, async (guest) => {
      const first = await guest.attach();
      await first.run('break spin');
      await first.run('continue');
      await first.run('watch watched');
      await first.kill();
      await guest.console.expect(/spinning/);
      const second = await guest.attach();
      expect(await second.run('backtrace')).toMatch(/spin/);
      await second.quit();
      const third = await guest.attach();
      await third.run('set var released = 1');
      await third.run('detach');
      expect(await guest.ended).toEqual({ reason: 'poweroff' });
    }));

  it('kills the domain', () =>
    withGuest({}, async (guest) => {
      const gdb = await guest.attach();
      expect(await gdb.run('kill')).toMatch(/killed/);
      expect(await guest.ended).toEqual({ reason: 'destroyed' });
    }));

  it.each([
    ['crash', 'SIGSEGV', 'an exception that the guest has no handler for'],
    ['shutdown', 'SIGABRT', 'the guest reported a crash'],
  ])('stops at the end of a guest that ends by %s, with %s', (cmdline, signal, why) =>
    withGuest({ cmdline }, async (guest) => {
      const gdb = await guest.attach();
      await gdb.run('break spin');
      await gdb.run('continue');
      await gdb.run('delete');
      await gdb.run('set var released = 1');
      expect(await gdb.run('continue')).toMatch(new RegExp(`received signal ${signal}`));
      expect(await gdb.run('backtrace')).toMatch(/test_main/);
      expect(await gdb.run('continue')).toMatch(/terminated with signal SIGABRT/);
      const end = await guest.ended;
      expect(end.reason).toBe('crash');
      expect(end.crash?.why).toBe(why);
    }),
  );

  it('tells of a power-off', () =>
    withGuest({}, async (guest) => {
      const gdb = await guest.attach();
      await gdb.run('tbreak spin');
      await gdb.run('continue');
      await gdb.run('set var released = 1');
      expect(await gdb.run('continue')).toMatch(/exited normally/);
      expect(await guest.ended).toEqual({ reason: 'poweroff' });
    }));
});
