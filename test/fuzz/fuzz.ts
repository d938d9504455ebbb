// `npm run fuzz -- [--messages N] [--seed N]`: prints what came of it, and ends with 1 where something was found.
import { parseArgs } from 'node:util';
import { startSshd } from '../support/sshd.ts';
import { fuzzSessions } from './sessions.ts';

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
  },
});
const sshd = await startSshd();
console.log(`seed ${values.seed}, ${values.messages} messages`);
const report = await fuzzSessions(sshd, Number(values.messages), Number(values.seed));
console.log(JSON.stringify(report, null, 2));
await sshd.stop();
process.exitCode = report.findings.length === 0 ? 0 : 1;
