/** What the commands tell of domains, in the columns of xl and xentop, and what a save file tells of one. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Cli } from './lib/cli.js';
import { BOOT_TIMEOUT_MS, PROMPT } from './lib/guest.js';
import { initramfs } from './lib/images.js';
import { info, LiveHost, missing, nobody, onConsole, output, until, xenner } from './lib/life.js';

const host = new LiveHost('told');
const { dir, ramdisk } = host;
const title = missing === undefined ? 'a domain' : `a domain (skipped: ${missing})`;

beforeAll(() => void initramfs(ramdisk));
afterEach(() => host.destroyAll());
afterAll(() => host.remove());

interface Figures {
  readonly name: string;
  readonly cpuPercent?: number;
}

describe.skipIf(missing !== undefined)(title, () => {
  it('is told of in columns', async () => {
    const uuid = '12345678-1234-1234-1234-123456789abc';
    await output('create', host.config('told', `uuid = "${uuid}"\nmaxvcpus = 2\nvcpus = 1\n`));
    // Once it has taken the other one out of use.
    await onConsole('told', ({ script }) => script.run('until [ $(nproc) = 1 ]; do sleep 0.1; done'));
    await output('pause', 'told');
    const head = 'Name                                        ID   Mem VCPUs\tState\tTime(s)';
    // Its process takes some time even while the guest is paused.
    const list = async (...options: string[]) =>
      (await output('list', ...options, 'told')).replace(/[ \d]{6}\.\d/g, '     1.2').split('\n');
    const [title, row, end] = await list();
    expect([title, end]).toEqual([head, '']);
    expect(row).toMatch(/^told {36} +\d+ +128 +1 {5}--p--- +\d+\.\d$/);
    expect(await list('-v')).toEqual([
      `${head}   UUID                            Reason-Code\tSecurity Label`,
      `${row} ${uuid}        -                -`,
      '',
    ]);
    const context = [`${head}   Security Label`, `${row}                -`, ''];
    expect(await list('-Z')).toEqual(context);
    expect(await list('--cpupool', '--numa')).toEqual([
      `${head}         Cpupool NODE Affinity`,
      `${row}          Pool-0 all`,
      '',
    ]);
    expect(JSON.parse((await list('--json')).join('\n'))).toMatchObject([{ name: 'told', uuid, vcpus: 1 }]);

    const { domid } = await info('told');
    expect((await output('top', '-b', '-i', '1')).split('\n')[1]).toMatch(/^ +told ----p- .* 131072 .* 2 /);
    const looks = (await output('top', '--json', '-d', '1', '-i', '2')).split('\n');
    const [first, second] = looks.slice(0, 2).map((look) => JSON.parse(look).domains as Figures[]);
    expect(looks.slice(2)).toEqual(['']);
    const figures = {
      name: 'told',
      domid,
      state: '----p-',
      vcpus: 2,
      memoryKiB: 131_072,
      disks: 0,
      reads: 0,
    };
    expect([first, second]).toMatchObject([[figures], [figures]]);
    expect(first![0]).not.toHaveProperty('cpuPercent');
    expect(second![0]!.cpuPercent).toBeGreaterThanOrEqual(0);

    const name = 'told'.padEnd(33);
    expect(await output('uptime')).toMatch(
      new RegExp(`^Name {29}   ID Uptime\n${name} +${domid} +\\d+:\\d\\d:\\d\\d\n$`),
    );
    expect(await output('uptime', '-s', 'told')).toMatch(
      new RegExp(`^ \\d\\d:\\d\\d:\\d\\d up +\\d+:\\d\\d, told \\(${domid}\\)\n$`),
    );
  });

  it.each([
    ['poweroff', '---s--', '-s----', '0'],
    ['reboot', '---sr-', '-s----', '1'],
  ])('that is preserved after %s says so', async (request, ofXl, ofXentop, code) => {
    await output('create', host.config('kept', `on_${request} = "preserve"\n`));
    await onConsole('kept', async () => {
      await output(request === 'reboot' ? 'reboot' : 'shutdown', '-w', 'kept');
    });
    const list = await output('list', '-v');
    expect(list).toMatch(new RegExp(` ${ofXl} +\\d+\\.\\d [-0-9a-f]{36} {8}${code} {16}-\n$`));
    expect(await output('top', '-b', '-i', '1')).toMatch(new RegExp(` kept ${ofXentop} `));
  });

  it('keeps over a reboot what it was asked for', async () => {
    await output('create', host.config('asked', 'vcpus = 2\n'));
    const { startedAt } = await info('asked');
    await onConsole('asked', async ({ script }) => {
      await output('mem-set', 'asked', '100');
      await output('vcpu-set', 'asked', '1');
      const config = {
        b_info: { target_memkb: 102_400, max_memkb: 131_072, avail_vcpus: [0], max_vcpus: 2 },
      };
      expect(JSON.parse(await output('list', '-l', 'asked'))).toMatchObject([{ config }]);
      await output('reboot', '-w', 'asked');
      await script.expect(/init: running/, BOOT_TIMEOUT_MS);
      await script.expect(PROMPT, BOOT_TIMEOUT_MS);
      expect((await info('asked')).startedAt).toBeGreaterThan(startedAt);
      expect((await script.run('until [ $(nproc) = 1 ]; do sleep 0.1; done')).status).toBe(0);
      await until(
        () => info('asked'),
        ({ currentMemoryMiB }) => currentMemoryMiB === 100,
      );
      // Less than any guest may begin with: what is saved can be restored all the same.
      await output('mem-set', 'asked', '60');
      const file = join(dir, 'asked.save');
      await output('save', 'asked', file);
      await output('restore', '-p', file);
      expect(JSON.parse(await output('list', '-l', 'asked'))).toMatchObject([
        { config: { b_info: { target_memkb: 65_536 } } },
      ]);
    });
  });

  it('is saved as another configuration has it, and stays as it is', async () => {
    await output('create', host.config('stays', 'on_poweroff = "preserve"\n'));
    await onConsole('stays', ({ script }) => script.run('touch /tmp/mark'));
    const state = async () => JSON.parse(await output('list', '--json'))[0].state as string;
    const file = join(dir, 'stays.save');
    const wrong = join(dir, 'wrong.cfg');
    writeFileSync(wrong, 'name = "wrong"\n\ndisk = ["/a,bogus,xvda,w"]\n');
    expect(await xenner('save', 'stays', file, wrong)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/wrong\.cfg:3: error: disk: .*the format "bogus"/),
    });
    expect((await xenner('save', '-p', 'stays', '/nowhere/file')).stderr).toMatch(/cannot save to \/nowhere/);
    expect(existsSync(file)).toBe(false);
    expect(await state()).not.toContain('p');

    await output('save', '-p', 'stays', file, host.config('other'));
    expect(await state()).toBe('--p---');
    await output('unpause', 'stays');
    const cli = new Cli(['restore', '-c', file]);
    // Both are there: the file has another name in it.
    expect((await cli.script.run('ls /tmp/mark')).output).toBe('/tmp/mark\n');
    await output('destroy', 'stays');
    cli.script.send('poweroff\n');
    expect(await cli.end(BOOT_TIMEOUT_MS)).toMatchObject({ status: 0 });
    await nobody();
  });
});
