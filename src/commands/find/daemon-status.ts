import { ask, DaemonNotRunningError } from '../../control/client.ts';
import type { StatusDocument } from '../../status/document.ts';
import { controlSockets } from './control-sockets.ts';

/** The daemon's status, or null where none runs. Rejects where it does not answer, or where this user may not connect to it. */
export async function daemonStatus(flag: string | null): Promise<StatusDocument | null> {
  return statusAt(await controlSockets(flag, null));
}

/** The same of the daemon behind the first of these sockets that answers. */
export async function statusAt(sockets: readonly string[]): Promise<StatusDocument | null> {
  try {
    const answer = await ask(sockets, { command: 'status' });
    return answer.ok ? answer.result : null;
  } catch (error) {
    if (error instanceof DaemonNotRunningError && !error.denied) return null;
    throw error;
  }
}
