import { readDurationFrom } from '../config/values/duration.ts';
import { request } from './find/daemon-request.ts';
import { EXIT } from './text/exit-code.ts';
import { formatHistory } from './text/history-text.ts';
import { fail } from './text/report.ts';

/** Shows the outages of all tunnels, or of one, and for how much of the time it was up. */
export async function history(
  config: string | null,
  name: string | null,
  options: { readonly since: string; readonly json: boolean },
): Promise<number> {
  const sinceMs = readSince(options.since);
  if (sinceMs === null) return fail('--since: a time such as 7d, 12h or 1w is needed', EXIT.usage);
  const answer = await request(config, { command: 'history', name, sinceMs }, name);
  if ('exit' in answer) return answer.exit;
  const { result } = answer;
  process.stdout.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : formatHistory(result));
  return EXIT.ok;
}

function readSince(text: string): number | null {
  try {
    return readDurationFrom(1)(text);
  } catch {
    return null;
  }
}
