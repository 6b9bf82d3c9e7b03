/** The `xenner` command beside virsh with the same words, each with a folder of its own below one of the test's. */
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { StoragePools } from '../../../../src/mgmt/storage/pool/pools.js';
import { type Outcome, outcomeOf, type Virsh } from './virsh.js';

const CLI = fileURLToPath(new URL('../../../../dist/cli/main.js', import.meta.url));

export class BesideVirsh {
  virsh: Virsh | undefined;

  constructor(private readonly at: (name: string) => string) {}

  /** What `/pools` is for both. */
  get folders(): readonly [ours: string, theirs: string] {
    return [this.at('ours'), this.at('them')];
  }

  xenner(...args: string[]): Promise<Outcome> {
    const env = { XENNER_CONFIG_DIR: this.at('etc'), XENNER_RUN_DIR: this.at('run') };
    return outcomeOf(process.execPath, [CLI, ...args], env);
  }

  async both(...args: string[]): Promise<[ours: Outcome, theirs: Outcome]> {
    const [ours, theirs] = this.folders.map((folder) => args.map((arg) => arg.replaceAll('/pools', folder)));
    return Promise.all([this.xenner(...ours!), this.virsh!.run(...theirs!)]);
  }

  /** Both do it, and say the same. */
  async same(...args: string[]): Promise<string> {
    const [ours, theirs] = await this.both(...args);
    expect(theirs).toMatchObject({ stderr: '', status: 0 });
    expect(ours.stderr).toBe('');
    expect(this.#common(ours.stdout)).toBe(this.#common(theirs.stdout));
    return ours.stdout;
  }

  /** A volume's document: the library's, and virsh's. */
  async sameDocument(pool: string, volume: string, without = /^$/): Promise<string> {
    const pools = new StoragePools({ configDirectory: this.at('etc'), runDirectory: this.at('run') });
    const [ours, theirs] = await Promise.all([
      pools.lookupByName(pool).then((found) => found.lookupVolume(volume)),
      this.virsh!.run('vol-dumpxml', volume, pool),
    ]);
    const shown = (text: string) => this.#common(text).replace(without, '');
    expect(shown(`${ours.xml}\n`)).toBe(shown(theirs.stdout));
    return ours.xml;
  }

  /** Both refuse it. */
  async refused(...args: string[]): Promise<string> {
    const [ours, theirs] = await this.both(...args);
    expect(theirs.status).toBe(1);
    expect(ours).toMatchObject({ stdout: '', status: 1 });
    return ours.stderr;
  }

  /** Without what cannot be the same: folders, times, and the room that a file system has just now. */
  #common(text: string): string {
    return this.folders
      .reduce((shorter, folder) => shorter.replaceAll(folder, '/pools'), text)
      .replace(/(Allocation:|Available:) +[\d.]+ [GT]iB/g, '$1')
      .replace(/<(allocation|available) unit='bytes'>\d{10,}/g, '<$1>')
      .replace(/[\d.]+ [GT]iB/g, 'SIZE')
      .replace(/<(.time)>[1-9]\d*(\.\d{9})?</g, '<$1><')
      .replace(/^-{30,}$/m, '---');
  }
}
