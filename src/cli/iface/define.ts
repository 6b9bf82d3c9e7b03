/** `xenner iface-define`, `iface-undefine`, `iface-edit`. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { XennerError } from '../../base/errors.js';
import { virshSay } from '../virsh-text.js';
import { openInterfaces } from './interfaces.js';

export function ifaceDefineCommand(): Command {
  return new Command('iface-define')
    .description("define a network interface in the host's configuration, or change it, by libvirt XML")
    .argument('<file>', 'the document')
    .action(async (file: string) => {
      const { name } = await openInterfaces().define(readFileSync(file, 'utf8'));
      virshSay(`Interface ${name} defined from ${file}`);
    });
}

export function ifaceUndefineCommand(): Command {
  return new Command('iface-undefine')
    .description("take a network interface out of the host's configuration")
    .argument('<interface>', 'name or MAC address')
    .action(async (which: string) => {
      const found = openInterfaces().lookup(which);
      await found.undefine();
      virshSay(`Interface ${found.name} undefined`);
    });
}

export function ifaceEditCommand(): Command {
  return new Command('iface-edit')
    .description("change a network interface's configuration in $VISUAL or $EDITOR")
    .argument('<interface>', 'name or MAC address')
    .action(async (which: string) => {
      const interfaces = openInterfaces();
      const { name, inactiveXml } = interfaces.lookup(which);
      const edited = edit(name, inactiveXml);
      if (edited === inactiveXml) return virshSay(`Interface ${name} XML configuration not changed.`);
      await interfaces.define(edited);
      virshSay(`Interface ${name} XML configuration edited.`);
    });
}

/** The variable may have options in it: the shell takes them apart, and the path goes by itself. */
function edit(name: string, text: string): string {
  const editor = process.env.VISUAL || process.env.EDITOR || 'vi';
  const folder = mkdtempSync(join(tmpdir(), 'xenner-edit-'));
  try {
    const file = join(folder, `${name}.xml`);
    writeFileSync(file, text);
    const { status } = spawnSync('sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' });
    if (status !== 0) throw new XennerError('EEDITOR', `${editor} failed`);
    return readFileSync(file, 'utf8');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
