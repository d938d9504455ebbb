import type { ReloadResult } from '../control/protocol.ts';
import { request } from './daemon-request.ts';
import { EXIT } from './exit.ts';

/** A daemon that runs on a command line is told from the others by the name of its tunnel. */
export async function reload(config: string | null, name: string | null): Promise<number> {
  const answer = await request(config, { command: 'reload' }, name);
  if ('exit' in answer) return answer.exit;
  process.stdout.write(describeReload('reloaded', answer.result));
  return EXIT.ok;
}

export function describeReload(what: string, { plan, notes }: ReloadResult): string {
  const parts = (['added', 'changed', 'removed', 'unchanged'] as const)
    .filter((part) => plan[part].length > 0)
    .map((part) => `${part}: ${plan[part].join(', ')}`);
  return [`${what}; ${parts.join('; ')}\n`, ...notes.map((note) => `note: ${note}\n`)].join('');
}
