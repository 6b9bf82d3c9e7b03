/** Log by topic. A topic that was not asked for costs one comparison: guard before formatting. */
import { createRequire } from 'node:module';
import type { DestinationStream, pino as Pino, Logger as PinoLogger } from 'pino';

export const TOPICS = [
  'hypercall',
  'evtchn',
  'gnttab',
  'mmu',
  'timer',
  'exit',
  'builder',
  'lifecycle',
  'xenstore',
  'device',
] as const;
export type Topic = (typeof TOPICS)[number];

export interface Logger {
  /** Whether a topic is traced. */
  traces(topic: Topic): boolean;
  /** One line of a traced topic; does nothing for the others. */
  trace(topic: Topic, message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  /** A warning that a guest could cause again and again: only the first with this key is written. */
  warnOnce(key: string, message: string, fields?: Record<string, unknown>): void;
}

/** Kept small: keys come from code, but their number may depend on what a guest does. */
const MAX_ONCE_KEYS = 256;

class TopicLogger implements Logger {
  readonly #topics: ReadonlySet<string>;
  readonly #once = new Set<string>();
  readonly #open: () => PinoLogger;
  #opened: PinoLogger | undefined;

  constructor(open: () => PinoLogger, topics: readonly Topic[]) {
    this.#open = open;
    this.#topics = new Set(topics);
  }

  get #pino(): PinoLogger {
    this.#opened ??= this.#open();
    return this.#opened;
  }

  traces(topic: Topic): boolean {
    return this.#topics.has(topic);
  }

  trace(topic: Topic, message: string, fields: Record<string, unknown> = {}): void {
    if (this.#topics.has(topic)) this.#pino.info({ topic, ...fields }, message);
  }

  warn(message: string, fields: Record<string, unknown> = {}): void {
    this.#pino.warn(fields, message);
  }

  warnOnce(key: string, message: string, fields: Record<string, unknown> = {}): void {
    if (this.#once.has(key) || this.#once.size >= MAX_ONCE_KEYS) return;
    this.#once.add(key);
    this.warn(message, fields);
  }
}

/** JSON lines, one a message, to a destination (default: standard error, written synchronously). */
export function createLogger(topics: readonly Topic[] = [], destination?: DestinationStream): Logger {
  // Loaded when the first line is written: it takes longer to load than everything else, and most runs write none.
  const open = () => {
    const { pino } = createRequire(import.meta.url)('pino') as { pino: typeof Pino };
    const target = destination ?? pino.destination({ dest: 2, sync: true });
    return pino({ base: null, timestamp: true }, target);
  };
  return new TopicLogger(open, topics);
}

/** Topics named in a list like `hypercall,evtchn` or `all`; undefined if one does not exist. */
export function parseTopics(list: string): readonly Topic[] | undefined {
  if (list === 'all') return TOPICS;
  const names = list.split(',').map((name) => name.trim());
  return names.every((name) => (TOPICS as readonly string[]).includes(name)) ? (names as Topic[]) : undefined;
}
