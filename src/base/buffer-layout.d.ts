/** Typings for the parts of buffer-layout 1.2 that layout.ts uses; the package ships none. */
declare module 'buffer-layout' {
  export class Layout<T> {
    constructor(span: number, property?: string);
    /** Bytes; negative for a variable length, which no layout of ours has. */
    readonly span: number;
    readonly property: string | undefined;
    decode(b: Buffer, offset?: number): T;
    encode(src: T, b: Buffer, offset?: number): number;
    /** A copy under another property name. */
    replicate(property: string): this;
  }
  export class Sequence<T> extends Layout<T[]> {
    constructor(elementLayout: Layout<T>, count: number, property?: string);
    readonly elementLayout: Layout<T>;
    readonly count: number;
  }
  export class Structure<T extends object> extends Layout<T> {
    constructor(fields: Layout<never>[], property?: string);
  }
  export function u8(property?: string): Layout<number>;
  export function u16(property?: string): Layout<number>;
  export function u32(property?: string): Layout<number>;
  export function s8(property?: string): Layout<number>;
  export function s16(property?: string): Layout<number>;
  export function s32(property?: string): Layout<number>;
}
