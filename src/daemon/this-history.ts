import { join } from 'node:path';
import { openHistoryFile } from '../history/history-file.ts';
import { openHistory, type History } from '../history/history.ts';
import { bootId, isClockSynchronised, lastAlive, sinceBoot } from '../host/boot.ts';
import type { Clock } from '../lib/async/clock.ts';
import type { Config } from '../model/config.ts';
import type { Problems } from './problems.ts';

/** The outages of the tunnels on this machine, in the state directory. */
export function openThisHistory(
  { stateDirectory }: Pick<Config, 'stateDirectory'>,
  { clock, problems }: { readonly clock: Clock; readonly problems: Problems },
): Promise<History> {
  const file = openHistoryFile(join(stateDirectory, 'history.jsonl'), (message) =>
    problems.report('the history', message),
  );
  return openHistory({ file, clock, machine: { bootId: bootId(), sinceBoot, isClockSynchronised, lastAlive } });
}
