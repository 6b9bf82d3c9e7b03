/** A domain's control socket. Clients are this user's programs, and may send anything all the same. */
import type { Socket } from 'node:net';
import { XennerError } from '../../../base/errors.js';
import {
  CONTROL_VERSION,
  type ControlArguments,
  type ControlCommand,
  type ControlError,
  type ControlResult,
  LineReader,
  MAX_CONTROL_CLIENTS,
  MAX_CONTROL_LINE_BYTES,
  MAX_CONTROL_PENDING,
} from './control.js';
import { UnixServer } from './unix-server.js';

/** Arguments are as the client sent them: an object, and nothing more is known of it. */
export type ControlHandlers = {
  readonly [C in ControlCommand]: (
    given: Partial<Record<keyof ControlArguments<C>, unknown>>,
  ) => Promise<ControlResult<C>>;
};

type AnyHandler = (given: Record<string, unknown>) => Promise<unknown>;

export function listenControl(path: string, handlers: ControlHandlers): Promise<UnixServer> {
  return UnixServer.listen(path, MAX_CONTROL_CLIENTS, (socket) => serve(socket, handlers));
}

function serve(socket: Socket, handlers: ControlHandlers): void {
  const lines = new LineReader(MAX_CONTROL_LINE_BYTES);
  let pending = 0;
  const say = (answer: { id: unknown; result?: unknown; error?: ControlError }) => {
    if (!socket.destroyed && socket.writable) socket.write(`${JSON.stringify(answer)}\n`);
  };
  const take = async (line: string) => {
    let id: unknown = null;
    try {
      if (++pending > MAX_CONTROL_PENDING) throw refused('too many requests at once');
      const request = parse(line);
      id = request.id;
      say({ id, result: await handlerOf(handlers, request.command)(request.arguments) });
    } catch (error) {
      say({ id, error: errorOf(error) });
      if ((error as XennerError).code === 'EPROTOCOL') socket.destroySoon();
    } finally {
      pending--;
    }
  };
  socket.setEncoding('utf8').on('data', (text) => {
    try {
      for (const line of lines.feed(text as unknown as string)) void take(line);
    } catch {
      socket.destroy();
    }
  });
}

function parse(line: string): { id: unknown; command: string; arguments: Record<string, unknown> } {
  let request: unknown;
  try {
    request = JSON.parse(line);
  } catch {
    throw refused('a line is no JSON');
  }
  if (!isObject(request)) throw refused('a request is an object');
  const { version, id, command, arguments: given = {} } = request;
  if (version !== CONTROL_VERSION) throw refused(`this is version ${CONTROL_VERSION} of the protocol`);
  if (typeof id !== 'number' || typeof command !== 'string' || !isObject(given))
    throw refused('a request has an id, a command and arguments');
  return { id, command, arguments: given };
}

function handlerOf(handlers: ControlHandlers, command: string): AnyHandler {
  if (Object.hasOwn(handlers, command)) return handlers[command as ControlCommand] as AnyHandler;
  throw new XennerError('ECOMMAND', `there is no command ${JSON.stringify(command.slice(0, 40))}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refused(why: string): XennerError {
  return new XennerError('EPROTOCOL', why);
}

function errorOf(error: unknown): ControlError {
  const { code = 'EINTERNAL', message } = error as NodeJS.ErrnoException;
  return { code, message };
}
