// Takes a saved guest from engine to engine: node save-tour.mjs FILE ENGINE...
// In it `steady` runs (test/boot/programs/steady.c). On each engine it has to go on for some rounds; then it is saved and goes to
// the next one. A line of JSON for each.
import { restoreDomain } from 'xenner';
import { ConsoleScript } from '../../../scripts/lib/console-script.mjs';

const [first = '', ...engines] = process.argv.slice(2);
const OWN = '/tmp/xenner-tour.save';
let file = first;

for (const [step, name] of engines.entries()) {
  const engine = /** @type {'soft' | 'kvm'} */ (name);
  const domain = await restoreDomain(file, { engine, verify: step > 0 });
  const script = new ConsoleScript((text) => domain.writeConsole(text));
  domain.on('console', (chunk) => script.feed(chunk));
  const ended = domain.wait();
  ended.then((end) => script.end(`ended: ${end.reason} ${end.crash?.why ?? ''}`));
  const rounds = [];
  for (let i = 0; i < 3; i++) {
    const { match } = await script.expect(/steady (\d+)\r?\n|WRONG.*/, 120_000);
    rounds.push(match[1] === undefined ? match[0] : Number(match[1]));
  }
  const last = step === engines.length - 1;
  if (last) {
    script.send('poweroff\n');
  } else {
    file = OWN;
    await domain.save(file);
  }
  const { reason } = await ended;
  process.stdout.write(`${JSON.stringify({ engine: domain.engine, rounds, reason })}\n`);
}
