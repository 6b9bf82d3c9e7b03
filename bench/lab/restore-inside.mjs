// In the lab, from there: node restore-inside.mjs GUEST RUNS. Its clock is the lab's, and so are its slow starts of Node.js.
import { benchRestore } from '../restore.mjs';

const [guest = '', runs] = process.argv.slice(2);
await benchRestore(guest, Number(runs), 'kvm-');
