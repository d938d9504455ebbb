import { formatLogLine } from '../../lib/log/format.ts';
import { unlessRefused, UserError } from '../../lib/user-error.ts';
import { isMeant } from '../../model/redundancy.ts';
import type { StatusDocument } from '../../status/document.ts';
import { request, requestStatus } from '../find/daemon-request.ts';
import { noSuchTunnel } from '../text/no-such-tunnel.ts';

/** What the daemon says at one moment, of all tunnels or of one. */
export interface Look {
  readonly document: StatusDocument;
  /** The last lines of the log, formatted. */
  readonly log: readonly string[];
}

/** Asks the daemon. Throws a UserError where none answers, or where it has no tunnel of this name. */
export async function lookAtDaemon(
  config: string | null,
  name: string | null,
  { colour, log }: { readonly colour: boolean; readonly log: boolean },
): Promise<Look> {
  const answer = await requestStatus(config, name);
  const tunnels = answer.tunnels.filter((tunnel) => isMeant(tunnel.name, name));
  if (answer.tunnels.length === 0) throw new UserError('the daemon has no tunnels yet: it is starting');
  if (tunnels.length === 0) throw noSuchTunnel(name, answer.tunnels);
  return { document: { ...answer, tunnels }, log: log ? await recentLog(config, name, colour) : [] };
}

const LOG_LINES = 5;

/** A daemon that ends meanwhile does not take the status away. */
async function recentLog(config: string | null, name: string | null, colour: boolean): Promise<readonly string[]> {
  const lines: string[] = [];
  const asked = request(config, { command: 'logs', name, lines: LOG_LINES, follow: false }, name, (line) =>
    lines.push(formatLogLine(line, colour)),
  );
  await unlessRefused(asked, null);
  return lines;
}
