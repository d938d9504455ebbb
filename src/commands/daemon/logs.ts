import { formatLogLine } from '../../lib/log/format.ts';
import { escapeUnsafeJson } from '../../lib/text.ts';
import { DaemonNotRunningError } from '../../control/client.ts';
import { sleep, systemClock } from '../../lib/async/clock.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { UserError } from '../../lib/user-error.ts';
import { orReason, request } from '../find/daemon-request.ts';
import { wantsColour } from '../text/color.ts';
import { report } from '../text/report.ts';

export interface LogsOptions {
  readonly follow: boolean;
  readonly lines: number;
  readonly json: boolean;
}

/** Prints the last lines of the log; with `follow` those that come, also those of a daemon that is started in the place of this one. */
export async function logs(config: string | null, name: string | null, options: LogsOptions): Promise<void> {
  const colour = wantsColour();
  const read = (lines: number) =>
    request(config, { command: 'logs', name, lines, follow: options.follow }, name, (line) =>
      process.stdout.write(`${options.json ? escapeUnsafeJson(line) : formatLogLine(line, colour)}\n`),
    );
  const processOf = async () => {
    const { pid, tunnels } = await request(config, { command: 'status' }, name);
    // A daemon that starts listens before it has its tunnels.
    if (tunnels.length === 0) throw new UserError('the daemon has no tunnels yet');
    return pid;
  };
  let pid = options.follow ? await processOf() : 0;
  await read(options.lines);
  while (options.follow) {
    report('the daemon has ended the log: waiting for it to run again');
    const next = await untilRunning(processOf);
    report(next === pid ? 'the same daemon goes on: lines may be missing' : `the daemon runs again: process ${next}`);
    // All that a new daemon has logged is new. It may end again before it answers.
    giveUpWhere(await orReason(read(next === pid ? 0 : ALL_LINES)));
    pid = next;
  }
}

const EVERY_MS = 500;

/** As many as the control protocol allows. */
const ALL_LINES = 100_000;

/** Waits until a daemon answers that has its tunnels. */
async function untilRunning(processOf: () => Promise<number>): Promise<number> {
  for (;;) {
    await sleep(systemClock, EVERY_MS);
    const pid = await orReason(processOf());
    giveUpWhere(pid);
    if (typeof pid === 'number') return pid;
  }
}

/** Where waiting helps nothing. */
function giveUpWhere(reason: unknown): void {
  if (reason instanceof UserError && reason.exit === EXIT.noSuchTunnel) throw reason;
  if (reason instanceof DaemonNotRunningError && reason.denied) throw reason;
}
