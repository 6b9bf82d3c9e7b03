// Boots a Debian kernel and runs shell commands in it: node shell.mjs CONFIG COMMAND..., the config as JSON of a DomainConfig.
// For each command a line of JSON, { output, status }; at last { end } once the guest has powered off. The command `:save` saves
// the guest and goes on with it restored: { output: the end of the saved one }; `:vcpus N` is `xenner vcpu-set`, { output: N }.
import { createDomain, restoreDomain } from 'xenner';
import { ConsoleScript } from '../../../scripts/lib/console-script.mjs';

const [config, ...commands] = process.argv.slice(2);
const PROMPT = /xenner:\S+# /;
const TIMEOUT_MS = 200_000;

/** @param {object} answer */
const tell = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

const options = JSON.parse(config);
let domain = await createDomain({ cmdline: 'console=hvc0', onReboot: 'end', ...options });
const script = new ConsoleScript((text) => domain.writeConsole(text));
/** @returns {Promise<import('xenner').DomainEnd>} */
function attach() {
  domain.on('console', (chunk) => script.feed(chunk));
  return domain.wait().then((end) => {
    if (end.reason !== 'saved') script.end(`the guest ended: ${end.reason} ${end.crash?.why ?? ''}`);
    return end;
  });
}
let ended = attach();

async function saveAndRestore() {
  const file = '/tmp/xenner-shell.save';
  await domain.save(file);
  const { reason } = await ended;
  domain = await restoreDomain(file, { engine: options.engine, verify: true });
  ended = attach();
  return { output: reason };
}

/** @param {string} command */
async function carryOut(command) {
  if (command === ':save') return await saveAndRestore();
  const count = /^:vcpus (\d+)$/.exec(command)?.[1];
  if (count === undefined) return await script.run(command, TIMEOUT_MS);
  domain.control.setVcpus(Number(count));
  return { output: count };
}

try {
  await script.expect(PROMPT, TIMEOUT_MS);
  for (const command of ['dmesg -n 1', ...commands]) tell(await carryOut(command));
  script.send('poweroff\n');
  tell({ end: (await ended).reason });
} catch (error) {
  process.stderr.write(`${error}\n${domain.consoleTail}\n`);
  process.exitCode = 1;
} finally {
  await domain.destroy();
}
