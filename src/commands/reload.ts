import type { ReloadResult } from '../control/protocol.ts';
import { refreshServiceCredentials } from '../install/systemd/refresh-credentials.ts';
import { errorText } from '../lib/text.ts';
import { request } from './find/daemon-request.ts';
import { EXIT } from './text/exit-code.ts';
import { report } from './text/report.ts';

/**
 * A daemon that runs on a command line is told from the others by the name of its tunnel. As root, the service gets new keys first;
 * `keysOnly` does that alone, for a unit that reloads by a signal.
 */
export async function reload(config: string | null, name: string | null, keysOnly: boolean): Promise<number> {
  const handedOver = await handOverKeys();
  if (keysOnly) return handedOver ? EXIT.ok : EXIT.failed;
  const answer = await request(config, { command: 'reload' }, name);
  if ('exit' in answer) return answer.exit;
  process.stdout.write(describeReload('reloaded', answer.result));
  return EXIT.ok;
}

/** False where the service could not be given new keys; why was told. Everything else may go on. */
export async function handOverKeys(): Promise<boolean> {
  try {
    await refreshServiceCredentials();
    return true;
  } catch (error) {
    report(`new keys were not handed to the service: ${errorText(error)}`);
    return false;
  }
}

export function describeReload(what: string, { plan, notes }: ReloadResult): string {
  const parts = (['added', 'changed', 'removed', 'unchanged'] as const)
    .filter((part) => plan[part].length > 0)
    .map((part) => `${part}: ${plan[part].join(', ')}`);
  return [`${what}; ${parts.join('; ')}\n`, ...notes.map((note) => `note: ${note}\n`)].join('');
}
