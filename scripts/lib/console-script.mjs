// Drives a console the way a person would: wait for a text, then type. Never by sleeping.

/** ash asks the terminal where its cursor is; nobody answers here, and it does not belong to the output. */
const CURSOR_QUERY = '\x1b[6n';

/** How much of a console is kept: a guest may print for ever. */
const TRANSCRIPT_LIMIT = 4 * 1024 * 1024;

export class ConsoleScript {
  /** @param {(text: string) => void} send what types into the console */
  constructor(send) {
    this.send = send;
    /** Everything printed so far, up to a limit. */
    this.transcript = '';
    /** @private What no expect() has consumed yet. */
    this.pending = '';
    /** @private @type {string | undefined} */
    this.ended = undefined;
    /** @private @type {(() => void) | undefined} */
    this.wake = undefined;
    /** @private */
    this.decoder = new TextDecoder();
  }

  /**
   * What the guest printed. Bytes may end in the middle of a character. Returns them as text to show.
   * @param {Uint8Array} bytes
   */
  feed(bytes) {
    const text = this.decoder.decode(bytes, { stream: true });
    this.pending = (this.pending + text).replaceAll(CURSOR_QUERY, '').slice(-TRANSCRIPT_LIMIT);
    this.transcript = (this.transcript + text).replaceAll(CURSOR_QUERY, '').slice(-TRANSCRIPT_LIMIT);
    this.wake?.();
    return text.replaceAll(CURSOR_QUERY, '');
  }

  /**
   * No more output will come: a waiting expect() fails at once.
   * @param {string} reason
   */
  end(reason) {
    this.ended = reason;
    this.wake?.();
  }

  /**
   * Waits until the unread output matches, and consumes it up to the end of the match.
   * @param {RegExp} pattern
   * @param {number} [timeoutMs]
   * @returns {Promise<{ before: string, match: RegExpExecArray }>}
   */
  async expect(pattern, timeoutMs = 60_000) {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.pending);
      if (match) {
        const before = this.pending.slice(0, match.index);
        this.pending = this.pending.slice(match.index + match[0].length);
        return { before, match };
      }
      if (this.ended !== undefined) throw this.failure(pattern, this.ended);
      const left = deadline - Date.now();
      if (left <= 0) throw this.failure(pattern, `nothing for ${timeoutMs} ms`);
      await this.change(left);
    }
  }

  /**
   * Runs shell commands and returns what they printed and the exit status. The marks around the output are typed in a
   * form that their echo does not match, and the braces make the shell read, and so echo, everything before it runs.
   * @param {string} command
   * @param {number} [timeoutMs]
   * @returns {Promise<{ output: string, status: number }>}
   */
  async run(command, timeoutMs = 60_000) {
    this.send(`{ printf '<<%s>>\\n' begin\n${command}\n}; printf '<<%s>>\\n' "$?"\n`);
    await this.expect(/<<begin>>\r*\n/, timeoutMs);
    const { before, match } = await this.expect(/<<(\d+)>>\r*\n/, timeoutMs);
    return { output: before.replaceAll('\r', ''), status: Number(match[1]) };
  }

  /**
   * @private
   * @param {number} ms
   * @returns {Promise<void>}
   */
  change(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const self = this;
      function done() {
        clearTimeout(timer);
        self.wake = undefined;
        resolve();
      }
      this.wake = done;
    });
  }

  /**
   * @private
   * @param {RegExp} pattern
   * @param {string} why
   */
  failure(pattern, why) {
    const last = this.transcript.split('\n').slice(-25).join('\n');
    return new Error(`console: waited for ${pattern}: ${why}. Its last lines:\n${last}`);
  }
}
