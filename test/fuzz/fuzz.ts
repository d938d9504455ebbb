// `npm run fuzz -- [--messages N] [--proofs N] [--seed N]`: prints what came of it, and ends with 1 where something was found.
import { parseArgs } from 'node:util';
import { startSshd } from '../support/sshd.ts';
import { fuzzProofs } from './proofs.ts';
import { fuzzSessions } from './sessions.ts';

/** A key exchange that no quantum computer breaks takes a tenth of it, on both sides together. */
const MAX_MS = 500;

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '100000' },
    proofs: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
  },
});
const sshd = await startSshd();
console.log(`seed ${values.seed}, ${values.messages} messages, ${values.proofs} proofs of who the server is`);
const reports = [
  await fuzzSessions(sshd, Number(values.messages), Number(values.seed)),
  await fuzzProofs(sshd.dir, Number(values.proofs), Number(values.seed), MAX_MS),
];
for (const report of reports) console.log(JSON.stringify(report, null, 2));
await sshd.stop();
process.exitCode = reports.every(({ findings }) => findings.length === 0) ? 0 : 1;
