// Boots a Debian kernel and runs shell commands in it: node shell.mjs CONFIG COMMAND..., the config as JSON of a DomainConfig.
// For each command a line of JSON, { output, status }; at last { end } once the guest has powered off.
import { createDomain } from 'xenner';
import { ConsoleScript } from '../../../scripts/lib/console-script.mjs';

const [config, ...commands] = process.argv.slice(2);
const PROMPT = /xenner:\S+# /;
const TIMEOUT_MS = 200_000;

/** @param {object} answer */
const tell = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

const domain = await createDomain({ cmdline: 'console=hvc0', onReboot: 'end', ...JSON.parse(config) });
const script = new ConsoleScript((text) => domain.writeConsole(text));
domain.on('console', (chunk) => script.feed(chunk));
const ended = domain.wait().then((end) => {
  script.end(`the guest ended: ${end.reason} ${end.crash?.why ?? ''}`);
  return end;
});
try {
  await script.expect(PROMPT, TIMEOUT_MS);
  for (const command of ['dmesg -n 1', ...commands]) tell(await script.run(command, TIMEOUT_MS));
  script.send('poweroff\n');
  tell({ end: (await ended).reason });
} catch (error) {
  process.stderr.write(`${error}\n${domain.consoleTail}\n`);
  process.exitCode = 1;
} finally {
  await domain.destroy();
}
