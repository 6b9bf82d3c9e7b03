/**
 * C structures of the x86-64 ABI over buffer-layout, which alone has no exact 64-bit integer, inserts no padding and
 * checks no size. Here 64-bit fields are bigint, padding is written out and checked against C's alignment rules when a
 * structure is first used, and the size is declared and checked as well.
 *
 * For memory shared with a guest, decode a private copy: fields are read one by one and the guest may write meanwhile.
 */
import * as bl from 'buffer-layout';

/** What a C object becomes in TypeScript, and how. `T` is number, bigint, string, Uint8Array, an array or an object. */
export interface Field<T> {
  /** Bytes. */
  readonly size: number;
  /** Bytes; the C type's natural alignment. */
  readonly align: number;
  readonly codec: Codec<T>;
  /** Member layout of a structure or union, element layout of an array. */
  readonly members?: Readonly<Record<string, Member>>;
  readonly element?: Field<unknown> | undefined;
}

export interface Member {
  readonly offset: number;
  readonly field: Field<unknown>;
}

/** Satisfied by every buffer-layout Layout of fixed span. */
interface Codec<T> {
  readonly span: number;
  decode(b: Buffer, offset?: number): T;
  encode(src: T, b: Buffer, offset?: number): number;
}

/** Bytes that C inserts or names `pad`: neither decoded nor encoded. */
export interface Padding extends Field<never> {
  readonly padding: true;
}

type Fields = Record<string, Field<unknown>>;

/** The TypeScript value of a field, structure or union. */
export type Decoded<F> = F extends Field<infer T> ? T : never;
type Value<F extends Fields> = { [K in keyof F as F[K] extends Padding ? never : K]: Decoded<F[K]> };

/** What encode() takes: members that are left out keep the bytes they had. */
export type Encodable<T> = T extends bigint | number | string | Uint8Array
  ? T
  : T extends readonly (infer E)[]
    ? readonly Encodable<E>[]
    : { readonly [K in keyof T]?: Encodable<T[K]> };

/** All of a field but its size, worked out when it is first used: there are hundreds of layouts, and a run uses few. */
abstract class LazyField<T> {
  #made: Field<T> | undefined;

  constructor(private readonly make: () => Field<T>) {}

  protected get shape(): Field<T> {
    this.#made ??= this.make();
    return this.#made;
  }

  get align(): number {
    return this.shape.align;
  }

  get codec(): Codec<T> {
    return this.shape.codec;
  }

  get members(): Readonly<Record<string, Member>> {
    return this.shape.members ?? {};
  }

  get element(): Field<unknown> | undefined {
    return this.shape.element;
  }
}

class UnnamedField<T> extends LazyField<T> implements Field<T> {
  get size(): number {
    return this.shape.size;
  }
}

class U64 extends bl.Layout<bigint> {
  override decode(b: Buffer, offset = 0): bigint {
    return b.readBigUInt64LE(offset);
  }
  override encode(src: bigint, b: Buffer, offset = 0): number {
    b.writeBigUInt64LE(src, offset);
    return this.span;
  }
}

class S64 extends bl.Layout<bigint> {
  override decode(b: Buffer, offset = 0): bigint {
    return b.readBigInt64LE(offset);
  }
  override encode(src: bigint, b: Buffer, offset = 0): number {
    b.writeBigInt64LE(src, offset);
    return this.span;
  }
}

/** `char[n]` holding NUL-terminated text; the rest is zero. */
class FixedString extends bl.Layout<string> {
  override decode(b: Buffer, offset = 0): string {
    const end = b.subarray(offset, offset + this.span).indexOf(0);
    if (offset + this.span > b.length) throw new RangeError(`char[${this.span}] ends past the buffer`);
    return b.toString('utf8', offset, offset + (end < 0 ? this.span : end));
  }
  override encode(src: string, b: Buffer, offset = 0): number {
    const bytes = Buffer.from(src, 'utf8');
    if (bytes.length >= this.span)
      throw new RangeError(`no room for ${bytes.length} bytes and NUL in ${this.span}`);
    b.fill(0, offset, offset + this.span);
    bytes.copy(b, offset);
    return this.span;
  }
}

/** `uint8_t[n]` as a private copy. */
class Bytes extends bl.Layout<Uint8Array> {
  override decode(b: Buffer, offset = 0): Uint8Array {
    if (offset + this.span > b.length) throw new RangeError(`uint8_t[${this.span}] ends past the buffer`);
    return new Uint8Array(b.subarray(offset, offset + this.span));
  }
  override encode(src: Uint8Array, b: Buffer, offset = 0): number {
    if (src.length !== this.span) throw new RangeError(`${src.length} bytes for uint8_t[${this.span}]`);
    b.set(src, offset);
    return this.span;
  }
}

/** buffer-layout's Sequence writes as many elements as it is given. */
class FixedArray<T> extends bl.Sequence<T> {
  override encode(src: T[], b: Buffer, offset = 0): number {
    if (src.length > this.count) throw new RangeError(`${src.length} elements for an array of ${this.count}`);
    super.encode(src, b, offset);
    return this.span;
  }
}

/** All members at offset 0: decoded all at once, encoded in the order of the members that are given. */
class Overlay<T extends object> extends bl.Layout<T> {
  constructor(
    span: number,
    private readonly views: ReadonlyArray<readonly [string, bl.Layout<unknown>]>,
  ) {
    super(span);
  }
  override decode(b: Buffer, offset = 0): T {
    return Object.fromEntries(this.views.map(([name, view]) => [name, view.decode(b, offset)])) as T;
  }
  override encode(src: T, b: Buffer, offset = 0): number {
    for (const [name, view] of this.views) {
      const value = (src as Record<string, unknown>)[name];
      if (value !== undefined) view.encode(value, b, offset);
    }
    return this.span;
  }
}

function scalar<T>(codec: bl.Layout<T>): Field<T> {
  return { size: codec.span, align: codec.span, codec };
}

export const u8 = scalar(bl.u8());
export const u16 = scalar(bl.u16());
export const u32 = scalar(bl.u32());
export const u64 = scalar<bigint>(new U64(8));
export const s8 = scalar(bl.s8());
export const s16 = scalar(bl.s16());
export const s32 = scalar(bl.s32());
export const s64 = scalar<bigint>(new S64(8));

/** `char[size]`, NUL-terminated. */
export function cstring(size: number): Field<string> {
  return { size, align: 1, codec: new FixedString(size) };
}

/** `uint8_t[size]`. */
export function bytes(size: number): Field<Uint8Array> {
  return { size, align: 1, codec: new Bytes(size) };
}

export function pad(size: number): Padding {
  return { size, align: 1, codec: new bl.Layout<never>(size), padding: true };
}

export function array<T>(element: Field<T>, count: number): Field<T[]> {
  return new UnnamedField(() => {
    const codec = new FixedArray(element.codec as bl.Layout<T>, count);
    return { size: element.size * count, align: element.align, codec, element };
  });
}

function alignUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

function place(
  fields: Fields,
  packed: boolean,
): { size: number; align: number; members: Record<string, Member> } {
  const members: Record<string, Member> = {};
  let offset = 0;
  let align = 1;
  for (const [name, field] of Object.entries(fields)) {
    if (!packed && offset % field.align !== 0) {
      throw new TypeError(
        `${name} at ${offset} needs pad(${alignUp(offset, field.align) - offset}) before it`,
      );
    }
    if (!('padding' in field)) members[name] = { offset, field };
    offset += field.size;
    if (!packed) align = Math.max(align, field.align);
  }
  if (offset % align !== 0) throw new TypeError(`needs pad(${alignUp(offset, align) - offset}) at the end`);
  return { size: offset, align, members };
}

function structure<F extends Fields>(fields: F): bl.Structure<Value<F>> {
  return new bl.Structure<Value<F>>(
    Object.entries(fields).map(([name, field]) => {
      const codec = field.codec as bl.Layout<never>;
      return 'padding' in field ? codec : codec.replicate(name);
    }),
  );
}

/** An unnamed structure inside another one. */
export function group<F extends Fields>(fields: F): Field<Value<F>> {
  return new UnnamedField(() => ({ ...place(fields, false), codec: structure(fields) }));
}

/** A union whose members are all plain data. */
export function union<F extends Fields>(fields: F): Field<Value<F>> {
  return new UnnamedField(() => overlay(fields));
}

function overlay<F extends Fields>(fields: F): Field<Value<F>> {
  const all = Object.values(fields);
  const align = Math.max(...all.map((field) => field.align));
  const size = alignUp(Math.max(...all.map((field) => field.size)), align);
  const views = Object.entries(fields).map(
    ([name, field]) => [name, field.codec as bl.Layout<unknown>] as const,
  );
  const members = Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, { offset: 0, field }]),
  );
  return { size, align, codec: new Overlay<Value<F>>(size, views), members };
}

/** A named C type of a public header. */
export class CStruct<T extends object> extends LazyField<T> implements Field<T> {
  /**
   * @param ctype as C spells it, e.g. `struct mmu_update`
   * @param header below include/xen, e.g. `xen.h`
   * @param size bytes; must be what the members add up to
   */
  constructor(
    readonly ctype: string,
    readonly header: string,
    readonly size: number,
    shape: () => Field<T>,
  ) {
    super(() => {
      const made = shape();
      if (made.size !== size) throw new TypeError(`${ctype}: members make ${made.size} bytes, not ${size}`);
      return made;
    });
  }

  /** @throws RangeError when the structure does not fit into what follows `offset`. */
  decode(from: Uint8Array, offset = 0): T {
    return this.codec.decode(asBuffer(from), offset);
  }

  /** Members that `value` leaves out, and padding, keep the bytes they had. @throws RangeError as decode() does. */
  encode(value: Encodable<T>, into: Uint8Array, offset = 0): void {
    if (offset + this.size > into.length) throw new RangeError(`${this.ctype} ends past the buffer`);
    this.codec.encode(value as T, asBuffer(into), offset);
  }

  /** A fresh zeroed structure with `value` in it. */
  create(value: Encodable<T>): Buffer {
    const buffer = Buffer.alloc(this.size);
    this.encode(value, buffer);
    return buffer;
  }

  /** Offset of a member by its C path; array elements by number: `vcpu_info.1.time`. For definitions, not hot paths. */
  offsetof(path: string): number {
    return locate(this, path).offset;
  }
}

/** @param fields in C's order and spelling, with every pad() written out */
export function cstruct<F extends Fields>(
  ctype: string,
  header: string,
  size: number,
  fields: F,
  options: { packed?: boolean } = {},
): CStruct<Value<F>> {
  return new CStruct(ctype, header, size, () => ({
    ...place(fields, options.packed ?? false),
    codec: structure(fields),
  }));
}

/** A named C union; see union(). */
export function cunion<F extends Fields>(
  ctype: string,
  header: string,
  size: number,
  fields: F,
): CStruct<Value<F>> {
  return new CStruct(ctype, header, size, () => overlay(fields));
}

function locate(root: Field<unknown>, path: string): Member {
  let at: Member = { offset: 0, field: root };
  for (const step of path.split('.')) {
    const { element, members } = at.field;
    const index = Number(step);
    if (
      element !== undefined &&
      Number.isInteger(index) &&
      index >= 0 &&
      index * element.size < at.field.size
    ) {
      at = { offset: at.offset + index * element.size, field: element };
      continue;
    }
    const member = members?.[step];
    if (member === undefined) throw new TypeError(`no member ${step} of ${path}`);
    at = { offset: at.offset + member.offset, field: member.field };
  }
  return at;
}

function asBuffer(view: Uint8Array): Buffer {
  return Buffer.isBuffer(view) ? view : Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}
