/** Which entry of GRUB 2 is the default (grub-core/normal/menu.c, get_entry_number and menuentry_eq). */

/** An entry, and the submenus that it is in. */
export interface MenuItem extends MenuPlace {
  readonly menus: readonly MenuPlace[];
}

export interface MenuPlace {
  readonly title: string;
  readonly id: string | undefined;
  /** In its menu, from 0. */
  readonly position: number;
}

/**
 * @param wishes numbers, titles or ids, `>` between a submenu's and that of what is in it, and `>>` for a `>` that is part of a title
 * @returns indices of items, in the order of the wishes
 */
export function chooseEntries(items: readonly MenuItem[], wishes: readonly string[]): number[] {
  return wishes
    .filter((wish) => wish !== '')
    .map((wish) => choose(items, wish))
    .filter((index) => index >= 0);
}

/** A wish that names a submenu means the first entry in it. A title with a single `>` in it is found as well, whole. */
function choose(items: readonly MenuItem[], wish: string): number {
  const steps = wish.split(/(?<!>)>(?!>)/).map((step) => step.replaceAll('>>', '>'));
  const found = items.findIndex((item) => {
    const path = [...item.menus, item];
    return steps.length <= path.length && steps.every((step, index) => matches(path[index]!, step));
  });
  return found >= 0 ? found : items.findIndex((item) => item.id === wish || item.title === wish);
}

function matches({ title, id, position }: MenuPlace, step: string): boolean {
  return step === id || step === title || step === String(position);
}
