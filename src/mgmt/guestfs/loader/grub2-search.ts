/** The arguments of GRUB 2's `search` (grub-core/commands/search_wrap.c). */

export interface Search {
  readonly by: 'uuid' | 'label' | 'file';
  readonly what: string;
  /** What to set to the device. */
  readonly variable: string;
}

const KINDS: Readonly<Record<string, Search['by']>> = {
  '--fs-uuid': 'uuid',
  '-u': 'uuid',
  'search.fs_uuid': 'uuid',
  '--label': 'label',
  '--fs-label': 'label',
  '-l': 'label',
  'search.fs_label': 'label',
  '--file': 'file',
  '-f': 'file',
  'search.file': 'file',
};

/** Hints tell real GRUB where to look first; there is one disk here. */
export function searchArguments(command: string, args: readonly string[]): Search | undefined {
  let by = KINDS[command];
  let variable = 'root';
  const others: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const word = args[at]!;
    if (word in KINDS) by = KINDS[word];
    else if (word.startsWith('--set=')) variable = word.slice(6);
    else if (word === '--hint') at++;
    else if (!word.startsWith('-')) others.push(word);
  }
  const [what, given] = others;
  if (what === undefined) return undefined;
  // search.fs_uuid UUID VARIABLE
  if (command !== 'search') return { by: by!, what, variable: given ?? 'root' };
  return { by: by ?? 'file', what, variable };
}
