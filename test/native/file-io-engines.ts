/** Which engines of FileIo this host has. */
import { FILE_ENGINES, FileIo } from '../../src/kvm/index.js';

export type Engine = (typeof FILE_ENGINES)[number];
export const ENGINES = FILE_ENGINES;

const reasons = new Map(
  ENGINES.map((engine) => {
    try {
      void new FileIo({ engine }).close();
      return [engine, undefined];
    } catch (error) {
      return [engine, (error as Error).message];
    }
  }),
);

/** Why there is no such engine here; undefined: there is. */
export function engineReason(engine: Engine): string | undefined {
  return reasons.get(engine);
}
