import { durationOf } from '../../config/values/duration.ts';
import { request } from '../find/daemon-request.ts';
import { wrongUsage } from '../../lib/user-error.ts';
import { formatHistory } from '../text/history-text.ts';

/** Shows the outages of all tunnels, or of one, and for how much of the time it was up. */
export async function history(
  config: string | null,
  name: string | null,
  { since, json }: { readonly since: string; readonly json: boolean },
): Promise<void> {
  const sinceMs = durationOf(since);
  if (sinceMs === null || sinceMs < 1000) throw wrongUsage('--since: it must be a time such as 7d, 12h or 1w');
  const result = await request(config, { command: 'history', name, sinceMs }, name);
  process.stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : formatHistory(result));
}
