import { request } from './daemon-request.ts';
import { EXIT } from './exit.ts';

/** A daemon that runs on a command line is told from the others by the name of its tunnel. */
export async function reload(config: string | null, name: string | null): Promise<number> {
  const answer = await request(config, { command: 'reload' }, name);
  if ('exit' in answer) return answer.exit;
  const { plan, notes } = answer.result;
  const parts = (['added', 'changed', 'removed', 'unchanged'] as const)
    .filter((part) => plan[part].length > 0)
    .map((part) => `${part}: ${plan[part].join(', ')}`);
  process.stdout.write(`reloaded; ${parts.join('; ')}\n`);
  for (const note of notes) process.stdout.write(`note: ${note}\n`);
  return EXIT.ok;
}
