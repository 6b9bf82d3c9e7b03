/** A live domain's network devices. */
import type { XennerError } from '../../../base/errors.js';
import type { Device } from '../../../xenner/backend/device.js';
import type { NicDefinition } from '../definition.js';
import { type OpenNic, openNic } from '../nics.js';

export class LiveNics {
  private constructor(private readonly nics: readonly OpenNic[]) {}

  /** @throws XennerError (rejection) ETAP, ELINK */
  static async open(
    definitions: readonly NicDefinition[],
    domid: number,
    say: (text: string) => void,
  ): Promise<LiveNics> {
    const nics: OpenNic[] = [];
    const live = new LiveNics(nics);
    try {
      for (const [index, definition] of definitions.entries()) {
        try {
          nics.push(await openNic(definition, index, domid));
        } catch (error) {
          // Without a bridge nobody has said where it belongs.
          if ((error as XennerError).code !== 'EPASST') throw error;
          say(`vif ${definition.devid ?? index} is not connected: ${(error as Error).message}`);
        }
      }
      return live;
    } catch (error) {
      await live.close();
      throw error;
    }
  }

  get devices(): readonly Device[] {
    return this.nics.map(({ device }) => device);
  }

  async close(): Promise<void> {
    await Promise.all(this.nics.map(({ port }) => port.close()));
  }
}
