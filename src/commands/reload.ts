import { request } from './daemon-request.ts';
import { EXIT } from './exit.ts';

export async function reload(config: string | null): Promise<number> {
  const answer = await request(config, { command: 'reload' }, null);
  if ('exit' in answer) return answer.exit;
  const { plan, notes } = answer.result;
  const parts = (['added', 'changed', 'removed', 'unchanged'] as const)
    .filter((part) => plan[part].length > 0)
    .map((part) => `${part}: ${plan[part].join(', ')}`);
  process.stdout.write(`reloaded; ${parts.join('; ')}\n`);
  for (const note of notes) process.stdout.write(`note: ${note}\n`);
  return EXIT.ok;
}
