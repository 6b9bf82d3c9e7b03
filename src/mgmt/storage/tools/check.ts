/** Whether an image is in order, and repairs; told in the shape of QEMU's ImageCheck (qapi/block-core.json). */
import { XennerError } from '../../../base/errors.js';
import { checkQcow2, type Findings } from '../qcow2/check.js';
import type { Header } from '../qcow2/header.js';
import { readHeader } from '../qcow2/open.js';
import { type RepairWhat, repairQcow2 } from '../qcow2/repair.js';
import { readSnapshots } from '../qcow2/snapshots.js';
import type { StorageFile } from '../storage-file.js';
import { type ImageFileOptions, type ToolFormat, withImageFile } from './image-file.js';
import type { WorkOptions } from './work.js';

export interface CheckOptions extends ImageFileOptions, WorkOptions {
  /** `leaks`: lost space is given back; `all`: whatever is wrong is put right. Nothing by default. */
  readonly repair?: RepairWhat | undefined;
  /** Is told each thing that is wrong, in words. */
  readonly report?: ((text: string) => void) | undefined;
}

/** What is left after a repair. Numbers that QEMU leaves out when they are 0 are left out. */
export interface ImageCheck {
  readonly filename: string;
  readonly format: ToolFormat;
  readonly 'check-errors': number;
  readonly 'image-end-offset': number;
  readonly corruptions?: number;
  readonly leaks?: number;
  readonly 'corruptions-fixed'?: number;
  readonly 'leaks-fixed'?: number;
  readonly 'total-clusters': number;
  readonly 'allocated-clusters'?: number;
  readonly 'fragmented-clusters'?: number;
  readonly 'compressed-clusters'?: number;
}

/** @throws XennerError EIMAGE_NO_CHECK: a format without anything to check; ELOCKED, EIMAGE_*; system errors */
export async function checkImage(path: string, options: CheckOptions = {}): Promise<ImageCheck> {
  const { repair, progress, signal, report = () => {} } = options;
  return withImageFile(path, { ...options, readOnly: repair === undefined }, async ({ file, format }) => {
    if (format !== 'qcow2')
      throw new XennerError('EIMAGE_NO_CHECK', `${path} is ${format}, which has nothing to be checked`);
    const header = await readHeader(file);
    const snapshots = await readSnapshots(file, header);
    const work = { report, progress, signal };
    const found = await checkQcow2(file, header, snapshots, work);
    if (repair === undefined) return told(file, header, found, found);
    return told(file, header, await repairQcow2(file, header, snapshots, found, repair, work), found);
  });
}

function told(file: StorageFile, header: Header, left: Findings, found: Findings): ImageCheck {
  const { allocated, fragmented, compressed } = left.walked.allocation;
  const numbers = {
    corruptions: left.corruptions,
    leaks: left.leaks,
    'corruptions-fixed': Math.max(0, found.corruptions - left.corruptions),
    'leaks-fixed': Math.max(0, found.leaks - left.leaks),
    'allocated-clusters': allocated,
    'fragmented-clusters': fragmented,
    'compressed-clusters': compressed,
  };
  return {
    'image-end-offset': left.endOffset,
    'total-clusters': Math.ceil(header.sizeBytes / header.clusterBytes),
    'check-errors': 0,
    ...Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0)),
    filename: file.path,
    format: 'qcow2',
  };
}
