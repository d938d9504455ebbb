import { installCandidate, removeCandidate } from '../../config/candidate.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { errorText } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { request } from '../find/daemon-request.ts';

/** Keeps the configuration that is on trial: it becomes the file. */
export async function confirm(flag: string | null, print: (text: string) => void = toStdout): Promise<void> {
  const { config, trial } = await request(flag, { command: 'status' }, null);
  if (trial === undefined) throw new UserError('no configuration is on trial');
  if (trial.waitingFor.length > 0)
    throw new UserError(`not confirmed, because not every tunnel is up: ${trial.waitingFor.join(', ')}`);
  // The file comes first: the daemon keeps only what its file says, so that only a user who may write the file can keep it.
  const revert = await installCandidate(config, trial.candidate).catch(refusedTo('not confirmed'));
  try {
    await request(flag, { command: 'confirm' }, null);
  } catch (error) {
    await revert();
    throw error;
  }
  await removeCandidate(config, trial.candidate);
  print(`confirmed: ${config} is the new configuration, ${config}.previous the one before\n`);
}

/** Answers go there. */
export function toStdout(text: string): void {
  process.stdout.write(text);
}

/** For what root could do. */
export function refusedTo(what: string): (error: unknown) => never {
  return (error) => {
    const cure = process.getuid?.() === 0 ? '' : ' (try sudo)';
    throw new UserError(`${what}: ${errorText(error)}${cure}`, EXIT.failed, { cause: error });
  };
}
