/** To be imported first: what takes long and can begin before anything else is known. */
import { startThreadEarly } from '../xenner/domain/vcpu-thread.js';

if (process.argv[2] === 'run' || process.argv[2] === 'restore') startThreadEarly();
