import { errorText } from '../lib/text.ts';
import { installCandidate, removeCandidate, type InstalledCandidate } from '../config/candidate.ts';
import { request } from './find/daemon-request.ts';
import { EXIT } from './text/exit-code.ts';
import { fail } from './text/report.ts';

/** Keeps the configuration that is on trial: it becomes the file. */
export async function confirm(flag: string | null): Promise<number> {
  const asked = await request(flag, { command: 'status' }, null);
  if ('exit' in asked) return asked.exit;
  const { config, trial } = asked.result;
  if (trial === undefined) return fail('no configuration is on trial');
  if (trial.waitingFor.length > 0)
    return fail(`not confirmed, because not every tunnel is up: ${trial.waitingFor.join(', ')}`);
  let installed: InstalledCandidate;
  try {
    installed = await installCandidate(config, trial.candidate);
  } catch (error) {
    return fail(`not confirmed: ${errorText(error)}${process.getuid?.() === 0 ? '' : ' (try sudo)'}`);
  }
  // The file comes first: the daemon keeps only what its file says, so that nobody keeps it who may not write the file.
  const answer = await request(flag, { command: 'confirm' }, null);
  if ('exit' in answer) {
    await installed.revert();
    return answer.exit;
  }
  await removeCandidate(config, trial.candidate);
  process.stdout.write(`confirmed: it is ${config} now; what that was before is ${config}.previous\n`);
  return EXIT.ok;
}
