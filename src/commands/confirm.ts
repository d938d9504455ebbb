import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
import { candidatePath } from '../config/paths.ts';
import { errorText } from '../lib/text.ts';
import { installCandidate, readCandidate } from '../setup/candidate.ts';
import { request } from './daemon-request.ts';
import { EXIT } from './exit.ts';

/** Keeps the configuration that is on trial: it becomes the file. */
export async function confirm(flag: string | null): Promise<number> {
  const asked = await request(flag, { command: 'status' }, null);
  if ('exit' in asked) return asked.exit;
  const { config, trial } = asked.result;
  if (trial === undefined) return fail('no configuration is on trial');
  // Whoever cannot write the file cannot keep the configuration either.
  const denied = await access(dirname(config), constants.W_OK).catch((error: unknown) => errorText(error));
  if (denied) return fail(`${dirname(config)} cannot be written: ${denied} (try sudo)`);
  let text: string;
  try {
    text = await readCandidate(config, trial.candidate);
  } catch (error) {
    return fail(`not confirmed: ${errorText(error)}`);
  }
  const answer = await request(flag, { command: 'confirm' }, null);
  if ('exit' in answer) return answer.exit;
  try {
    await installCandidate(config, trial.candidate, text);
  } catch (error) {
    const candidate = candidatePath(config, trial.candidate);
    return fail(`it runs, but is not yet what ${config} says: ${errorText(error)}; move ${candidate} there`);
  }
  process.stdout.write(`confirmed: it is ${config} now; what that was before is ${config}.previous\n`);
  return EXIT.ok;
}

function fail(text: string): number {
  process.stderr.write(`tunneld: ${text}\n`);
  return EXIT.failed;
}
