import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { onceAborted } from '../lib/async/abort.ts';
import { createQueue } from '../lib/async/queue.ts';
import type { Clock } from '../lib/async/clock.ts';
import { orElse } from '../lib/or-else.ts';
import { errorText, printable } from '../lib/text.ts';
import type { OnChangeConfig } from '../model/config.ts';
import type { RunningTunnel } from '../supervisor/supervisor.ts';

export interface ChangeHookDeps {
  readonly clock: Clock;
  /** Hears why the program failed, and null when it did not. */
  readonly onProblem: (message: string | null) => void;
  /** See runProgram(). */
  readonly run?: typeof runProgram;
}

/** What a program is passed, all of it safe to print. */
export type ChangeFacts = Readonly<
  Record<'TUNNELD_TUNNEL' | 'TUNNELD_STATE' | 'TUNNELD_CAUSE' | 'TUNNELD_HINT' | 'TUNNELD_SINCE', string>
>;

/** Of each tunnel: what was reported last, and what waits to last. */
interface Watched {
  reported: 'up' | 'down';
  seen: 'up' | 'down';
  /** When it was seen to go up or down (Clock.now). */
  since: number;
  cancel: () => void;
}

/**
 * A program runs when a tunnel has gone down or come up, and stayed so. One runs at a time; of several changes of one tunnel that wait for it
 * only the last counts.
 */
export function createChangeHook({ clock, onProblem, run = runProgram }: ChangeHookDeps) {
  let config: OnChangeConfig = { command: null, afterMs: 0 };
  let latest: readonly RunningTunnel[] = [];
  const watched = new Map<string, Watched>();
  const oneAtATime = createQueue();
  const ended = new AbortController();

  const announce = async (name: string, one: Watched) => {
    const { command } = config;
    const tunnel = latest.find(({ spec }) => spec.name === name);
    if (command === null || tunnel === undefined || one.seen === one.reported || ended.signal.aborted) return;
    one.reported = one.seen;
    const problem = await run(command, factsOf(tunnel, one, clock), { clock, signal: ended.signal });
    onProblem(problem === null ? null : `onChange ${printable(command[0]!)}: ${problem}`);
  };
  return {
    configure: (next: OnChangeConfig) => {
      config = next;
      if (next.command === null) onProblem(null);
    },
    /** To be called after each change of a tunnel. */
    observe: (tunnels: readonly RunningTunnel[]) => {
      latest = tunnels;
      const names = new Set(tunnels.map(({ spec }) => spec.name));
      for (const [name, { cancel }] of watched) {
        if (names.has(name)) continue;
        cancel();
        watched.delete(name);
      }
      if (config.command === null) return;
      for (const { spec, state, previous } of tunnels) {
        const isUp = state.phase === 'up' || previous.some((old) => old.state.phase === 'up');
        // A tunnel that comes up is no news, unless it was reported as down.
        const one = watched.get(spec.name) ?? { reported: 'up', seen: 'up', since: clock.now(), cancel: () => {} };
        watched.set(spec.name, one);
        const seen = isUp ? 'up' : 'down';
        if (seen === one.seen) continue;
        one.seen = seen;
        one.since = clock.now();
        one.cancel();
        one.cancel = clock.timer(config.afterMs, () => void oneAtATime(() => announce(spec.name, one)));
      }
    },
    stop: () => {
      ended.abort(new Error('stopped'));
      for (const { cancel } of watched.values()) cancel();
    },
  };
}

function factsOf({ spec, state }: RunningTunnel, { seen, since }: Watched, clock: Clock): ChangeFacts {
  // What the outage before this one came of is reported no more.
  const failure =
    seen === 'down' && state.failure !== null && state.failure.at >= since - NOTICED_MS ? state.failure : null;
  return {
    TUNNELD_TUNNEL: spec.name,
    TUNNELD_STATE: seen,
    TUNNELD_CAUSE: failure?.code ?? '',
    TUNNELD_HINT: printable(failure?.hint ?? ''),
    TUNNELD_SINCE: new Date(clock.wall() - (clock.now() - since)).toISOString(),
  };
}

/** The failure comes first, and is looked at a moment later. */
const NOTICED_MS = 2000;

/**
 * Runs a program with a small environment, without input and output. The answer is what went wrong, or null. One that lasts for too long is
 * killed with all that it has started, unless that has left its process group.
 */
export async function runProgram(
  command: readonly string[],
  facts: ChangeFacts,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<string | null> {
  const [program = '', ...args] = command;
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...facts };
  let kill = () => {};
  let late = false;
  const cancel = clock.timer(PATIENCE_MS, () => {
    late = true;
    kill();
  });
  const forget = onceAborted(signal, () => kill());
  try {
    // It throws what no program could cause, Node.js thinks: a path through a file, no memory to fork, too long a list of arguments.
    const child = spawn(program, args, { stdio: 'ignore', detached: true, cwd: '/', env });
    kill = () => void orElse(() => process.kill(-child.pid!, 'SIGKILL'), 'it is gone');
    const [code, by] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    // What it has left behind in its group has no business here.
    kill();
    if (late) return `killed, because it ran for more than ${PATIENCE_MS / 1000} s`;
    return code === 0 ? null : `it ended with ${code === null ? by : `exit code ${code}`}`;
  } catch (error) {
    return errorText(error);
  } finally {
    cancel();
    forget();
  }
}

const PATIENCE_MS = 30_000;
