/** Refcounts, and the leave to write in place, brought to what refers to clusters; of an image that nobody else has open. */
import type { ByteStore } from '../storage-file.js';
import { eachRefcount } from './check.js';
import { COPIED_HI } from './format.js';
import type { Header } from './header.js';
import { writeRefcount } from './refcounts.js';
import type { References } from './references.js';
import { eachCopiedFlag, isCopied, type Walked } from './walk.js';

/**
 * What rises is only safer; what falls nobody may refer to any more, on the disk. Answers false when there was no block for one.
 * @param offsets of the refcount blocks, which are counted in `references`
 */
export async function setRefcounts(
  file: ByteStore,
  header: Header,
  offsets: readonly number[],
  references: References,
  { up, down }: { readonly up: boolean; readonly down: boolean },
): Promise<boolean> {
  const { refcountOrder, refcountsPerBlock } = header;
  let isComplete = true;
  await eachRefcount(file, header, offsets, references, (cluster, refcount, block) => {
    const reference = references.of(cluster);
    if (refcount === reference || !(reference > refcount ? up : down)) return;
    if (block === undefined) {
      isComplete = false;
      return;
    }
    const index = cluster % refcountsPerBlock;
    writeRefcount(block, refcountOrder, index, reference);
    block.touch(Math.floor((index * 2 ** refcountOrder) / 8));
  });
  await file.sync();
  return isComplete;
}

/** Takes the leave to be written in place from entries that share their cluster, or gives it to the others. */
export async function setCopied(
  file: ByteStore,
  header: Header,
  walked: Walked,
  give: boolean,
): Promise<void> {
  await eachCopiedFlag(file, header, walked, (table, at, cluster) => {
    const isSingle = walked.references.of(cluster) === 1;
    if (isSingle !== give || isCopied(table, at) === give) return;
    const hi = table.view.getUint32(at) & ~COPIED_HI;
    table.setEntry(at, give ? hi | COPIED_HI : hi, table.view.getUint32(at + 4));
  });
  await file.sync();
}
