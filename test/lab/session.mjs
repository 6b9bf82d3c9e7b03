// Commands in a running lab, over sockets that lead to the agent (test/lab/agent.c, which describes the frames).
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** As in test/lab/agent.c: so many commands run at once. */
export const PORTS = 4;
const HELLO_BYTES = 16;
const INPUT_BYTES = 16384;
/** A free port answers within milliseconds, a busy one not at all. */
const ANSWER_MS = 5000;
const RETRY_MS = 100;

/**
 * @typedef {import('node:net').Socket} Socket
 *
 * @typedef {object} Command
 * @property {string[]} argv
 * @property {string} directory
 * @property {NodeJS.ProcessEnv} environment
 * @property {Size} [terminal] makes it the command's terminal
 *
 * @typedef {{ rows: number, columns: number }} Size
 *
 * @typedef {object} Streams
 * @property {NodeJS.ReadableStream} [input] none: the command's standard input is empty
 * @property {NodeJS.WritableStream} output
 * @property {NodeJS.WritableStream} errors
 */

export const socketPath = (/** @type {string} */ directory, /** @type {number} */ port) =>
  `${directory}/port-${port}`;

function frame(/** @type {string} */ type, /** @type {Buffer} */ data = Buffer.alloc(0)) {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeUInt32LE(data.length, 1);
  return Buffer.concat([head, data]);
}

function windowFrame(/** @type {Size} */ { rows, columns }) {
  const data = Buffer.alloc(4);
  data.writeUInt16LE(rows, 0);
  data.writeUInt16LE(columns, 2);
  return frame('w', data);
}

function commandFrames(/** @type {Command} */ { argv, directory, environment, terminal }) {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  return Buffer.concat([
    frame('d', Buffer.from(directory)),
    ...argv.map((argument) => frame('a', Buffer.from(argument))),
    ...variables.map((variable) => frame('e', Buffer.from(variable))),
    ...(terminal ? [windowFrame(terminal)] : []),
    frame('r'),
  ]);
}

/** Resolves when the agent behind a socket has answered a hello; rejects with why the socket closes before. */
function greeted(/** @type {Socket} */ socket) {
  const hello = frame('h', randomBytes(HELLO_BYTES));
  let received = Buffer.alloc(0);
  let why = 'no answer';
  socket.write(hello);
  /** @type {Promise<Socket>} */
  const done = new Promise((resolve, reject) => {
    socket.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      why = error.code ?? why;
    });
    socket.on('close', () => reject(new Error(why)));
    socket.on('readable', () => {
      received = Buffer.concat([received, socket.read() ?? Buffer.alloc(0)]);
      // Before it may stand what somebody did not wait for who was connected earlier.
      const at = received.indexOf(hello);
      if (at < 0) return;
      socket.removeAllListeners('readable');
      socket.unshift(received.subarray(at + hello.length));
      resolve(socket);
    });
  });
  return done;
}

/** One attempt: the first port that answers, or why each of them does not. */
async function tryPorts(/** @type {string} */ directory, /** @type {AbortSignal} */ signal) {
  const sockets = Array.from({ length: PORTS }, (_, port) => connect(socketPath(directory, port)));
  /** @type {Socket | undefined} */
  let chosen;
  const abandon = () => {
    for (const socket of sockets) if (socket !== chosen) socket.destroy();
  };
  const patience = setTimeout(abandon, ANSWER_MS);
  signal.addEventListener('abort', abandon);
  try {
    chosen = await Promise.any(sockets.map(greeted));
    return { socket: chosen, reasons: [] };
  } catch (error) {
    const errors = error instanceof AggregateError ? error.errors : [error];
    return { socket: undefined, reasons: errors.map(({ message }) => String(message)) };
  } finally {
    clearTimeout(patience);
    abandon();
    signal.removeEventListener('abort', abandon);
  }
}

/** Waits for a port that is free. Undefined when there is no lab. */
async function freePort(/** @type {string} */ directory, /** @type {AbortSignal} */ signal) {
  while (!signal.aborted) {
    const { socket, reasons } = await tryPorts(directory, signal);
    if (socket) return socket;
    // The others are signs of life: a full queue, or nobody who answers yet.
    if (reasons.every((reason) => reason === 'ENOENT' || reason === 'ECONNREFUSED')) return undefined;
    await sleep(RETRY_MS);
  }
  return undefined;
}

function passInput(/** @type {Socket} */ socket, /** @type {NodeJS.ReadableStream | undefined} */ input) {
  if (!input) {
    socket.write(frame('i'));
    return;
  }
  input.on('data', (/** @type {Buffer} */ data) => {
    let room = true;
    for (let at = 0; at < data.length; at += INPUT_BYTES)
      room = socket.write(frame('i', data.subarray(at, at + INPUT_BYTES)));
    if (room) return;
    input.pause();
    socket.once('drain', () => input.resume());
  });
  // A terminal or a pipe that fails has no more to give.
  for (const end of ['end', 'error']) input.on(end, () => socket.write(frame('i')));
}

/** Calls `handle` for every frame of the agent's. */
function readFrames(
  /** @type {Socket} */ socket,
  /** @type {(type: string, data: Buffer) => void} */ handle,
) {
  let received = Buffer.alloc(0);
  socket.on('data', (data) => {
    received = received.length > 0 ? Buffer.concat([received, data]) : data;
    while (received.length >= 5) {
      const end = 5 + received.readUInt32LE(1);
      if (received.length < end) return;
      handle(String.fromCharCode(received[0] ?? 0), received.subarray(5, end));
      received = received.subarray(end);
    }
  });
}

/**
 * Runs a command in the lab whose sockets are in `directory`, as soon as a port is free; onStart is then called. Aborting
 * kills the command. Returns its exit status; undefined when the lab is not there, or goes away, or on abort.
 * @returns {Promise<number | undefined>}
 */
export async function runCommand(
  /** @type {string} */ directory,
  /** @type {Command} */ command,
  /** @type {Streams} */ streams,
  /** @type {AbortSignal} */ signal,
  /** @type {() => void} */ onStart = () => {},
) {
  const socket = await freePort(directory, signal);
  if (!socket) return undefined;
  if (signal.aborted) socket.destroy();
  signal.addEventListener('abort', () => socket.destroy());
  onStart();
  /** @type {number | undefined} */
  let status;
  readFrames(socket, (type, data) => {
    if (type === 'x') {
      status = data.readUInt32LE(0);
      socket.destroy();
      return;
    }
    const stream = type === 'o' ? streams.output : streams.errors;
    if (stream.write(data)) return;
    socket.pause();
    stream.once('drain', () => socket.resume());
  });
  socket.write(commandFrames(command));
  passInput(socket, streams.input);
  if (command.terminal && process.stdout.isTTY)
    process.stdout.on('resize', () => socket.write(windowFrame(process.stdout)));
  await new Promise((resolve) => socket.on('close', resolve));
  return status;
}
