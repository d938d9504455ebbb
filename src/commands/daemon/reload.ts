import type { ReloadResult } from '../../control/protocol.ts';
import { refreshServiceCredentials } from '../../install/systemd/refresh-credentials.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { errorText } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { request } from '../find/daemon-request.ts';
import { report } from '../text/report.ts';

/**
 * A daemon that runs on a command line is found by the name of its tunnel. As root, the service gets new keys first; `keysOnly` does that
 * alone, for a unit that reloads by a signal.
 */
export async function reload(
  config: string | null,
  name: string | null,
  { keysOnly }: { readonly keysOnly: boolean },
): Promise<void> {
  if (keysOnly) return await handOverKeys();
  await tryToHandOverKeys();
  process.stdout.write(describeReload('reloaded', await request(config, { command: 'reload' }, name)));
}

async function handOverKeys(): Promise<void> {
  try {
    await refreshServiceCredentials();
  } catch (error) {
    throw new UserError(`new keys were not handed to the service: ${errorText(error)}`, EXIT.failed, { cause: error });
  }
}

/** The same for a command that goes on without them. */
export async function tryToHandOverKeys(): Promise<void> {
  await handOverKeys().catch((error: unknown) => report(errorText(error)));
}

export function describeReload(what: string, { plan, notes }: ReloadResult): string {
  const parts = (['added', 'changed', 'removed', 'unchanged'] as const)
    .filter((part) => plan[part].length > 0)
    .map((part) => `${part}: ${plan[part].join(', ')}`);
  return [`${what}; ${parts.join('; ')}\n`, ...notes.map((note) => `note: ${note}\n`)].join('');
}
