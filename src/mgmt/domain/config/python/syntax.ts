/** What the parser makes of a program: the part of Python that configurations of xm are written in. */

interface At {
  readonly line: number;
}

export type Expression = At &
  (
    | { readonly is: 'text'; readonly value: string }
    | { readonly is: 'number'; readonly value: number }
    | { readonly is: 'name'; readonly name: string }
    | { readonly is: 'list' | 'tuple'; readonly items: readonly Expression[] }
    | { readonly is: 'dict'; readonly entries: readonly (readonly [Expression, Expression])[] }
    | { readonly is: 'not' | 'minus'; readonly of: Expression }
    | { readonly is: 'binary'; readonly op: string; readonly left: Expression; readonly right: Expression }
    | {
        readonly is: 'choice';
        readonly test: Expression;
        readonly yes: Expression;
        readonly no: Expression;
      }
    | {
        readonly is: 'each';
        readonly body: Expression;
        readonly target: Expression;
        readonly over: Expression;
        readonly test: Expression | undefined;
      }
    | { readonly is: 'attribute'; readonly of: Expression; readonly name: string }
    | { readonly is: 'item'; readonly of: Expression; readonly index: Expression }
    | {
        readonly is: 'slice';
        readonly of: Expression;
        readonly from: Expression | undefined;
        readonly to: Expression | undefined;
      }
    | {
        readonly is: 'call';
        readonly callee: Expression;
        readonly args: readonly Expression[];
        readonly named: readonly (readonly [string, Expression])[];
      }
  );

export interface Parameter {
  readonly name: string;
  readonly otherwise: Expression | undefined;
}

export type Block = readonly Statement[];

export type Statement = At &
  (
    | {
        readonly is: 'assign';
        readonly op: '=' | '+=';
        /** More than one: `a = b = 1`. */
        readonly targets: readonly Expression[];
        readonly value: Expression;
      }
    | { readonly is: 'expression' | 'return' | 'raise'; readonly value: Expression | undefined }
    | {
        readonly is: 'if' | 'while';
        readonly test: Expression;
        readonly body: Block;
        readonly otherwise: Block;
      }
    | { readonly is: 'for'; readonly target: Expression; readonly over: Expression; readonly body: Block }
    | { readonly is: 'try'; readonly body: Block; readonly except: Block; readonly last: Block }
    | {
        readonly is: 'def';
        readonly name: string;
        readonly parameters: readonly Parameter[];
        readonly body: Block;
      }
    | { readonly is: 'import'; readonly names: readonly { readonly path: string; readonly as: string }[] }
    | { readonly is: 'pass' | 'break' | 'continue' }
    /** Could not be read; `name` is what it would have assigned to. */
    | { readonly is: 'unread'; readonly why: string; readonly name: string | undefined }
  );
