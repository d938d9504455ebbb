import { childController } from '../../lib/async/abort.ts';
import { sleep, type Clock } from '../../lib/async/clock.ts';
import type { Device } from '../../net/device.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { askNow, assess, pathSeen, startLiveness, type Verdict } from './liveness.ts';
import type { ServerSpec } from '../../model/spec.ts';
import type { SshConnection } from './connection.ts';
import type { TunnelState } from '../../model/state.ts';

export interface WatchDeps {
  readonly clock: Clock;
  readonly device: Pick<Device, 'onChange' | 'lostAddress' | 'unacknowledged'>;
  /** Resolves when a new connection to the server is answered; null where only a new start could tell. */
  readonly answers: ((signal: AbortSignal) => Promise<void>) | null;
  heartbeat(withinMs: number): void;
  state(): Watched;
  report(change: Partial<Watched>): void;
}

/** What the watch finds out. */
type Watched = Pick<TunnelState, 'rttMs' | 'silentSince'>;

type WatchedSpec = Pick<ServerSpec, 'serverAliveIntervalMs' | 'serverAliveCountMax'>;

/**
 * Asks a silent server whether it is there, and gives up on a connection that is dead. Never resolves; rejects with keepalive-lost
 * or the signal's reason.
 */
export async function watchConnection(
  connection: SshConnection,
  spec: WatchedSpec,
  { clock, device, answers, heartbeat, state, report }: WatchDeps,
  signal: AbortSignal,
): Promise<never> {
  const { transport } = connection;
  const { ends, direct } = transport;
  const traffic = () => ({
    ...transport.traffic(),
    // What a proxy or another server acknowledges is not there yet.
    unacknowledged: ends === null || !direct ? null : device.unacknowledged(ends),
  });
  let moved: TunnelFailure | null = null;
  const ended = childController(signal);
  let live = startLiveness(clock.now(), traffic());
  let lookout: ReturnType<typeof childController> | null = null;
  let wake = () => {};

  const unsubscribe = device.onChange(() => {
    live = askNow(live);
    wake();
    if (ends === null) return;
    const { localAddress } = ends;
    void device.lostAddress(localAddress).then((lost) => {
      if (lost) moved = new TunnelFailure('keepalive-lost', `${localAddress} is no longer an address of this device`);
      wake();
    });
  });
  try {
    for (;;) {
      if (moved !== null) throw moved as TunnelFailure;
      const step = assess(live, clock.now(), traffic(), {
        intervalMs: spec.serverAliveIntervalMs,
        countMax: spec.serverAliveCountMax,
        rttMs: state().rttMs,
      });
      live = step.next;
      const { verdict } = step;
      if (verdict.type === 'dead') throw new TunnelFailure('keepalive-lost', describe(verdict));
      if (verdict.type === 'ask') void measure();
      lookForThePath(verdict.type === 'doubt');
      showSilence(verdict.type === 'doubt');
      const ms = Math.min(verdict.ms, LONGEST_WAIT_MS);
      heartbeat(ms + HEARTBEAT_SLACK_MS);
      await sleepUntilWoken(ms);
    }
  } finally {
    unsubscribe();
    ended.abort(new Error('the watch is over'));
    ended.dispose();
  }

  async function sleepUntilWoken(ms: number): Promise<void> {
    const nap = childController(ended.signal);
    wake = () => nap.abort(WOKEN);
    try {
      await sleep(clock, ms, nap.signal);
    } catch (error) {
      if (error !== WOKEN) throw error;
    } finally {
      nap.dispose();
    }
  }

  async function measure(): Promise<void> {
    const asked = clock.now();
    try {
      await connection.probe();
      report({ rttMs: Math.round((clock.now() - asked) * 10) / 10 });
    } catch {
      // The connection ended while we waited; `lost` says why.
    }
  }

  /** Once for each doubt, until somebody answers or the doubt is over. */
  function lookForThePath(wanted: boolean): void {
    if (!wanted) {
      lookout?.abort(new Error('no doubt any more'));
      lookout?.dispose();
      lookout = null;
    } else if (lookout === null && answers !== null) {
      lookout = childController(ended.signal);
      answers(lookout.signal).then(
        () => {
          live = pathSeen(live, clock.now());
          wake();
        },
        () => {},
      );
    }
  }

  function showSilence(doubt: boolean): void {
    const silentSince = doubt ? live.aliveAt : null;
    if ((silentSince === null) !== (state().silentSince === null)) report({ silentSince });
  }
}

const WOKEN = new Error('woken');
const LONGEST_WAIT_MS = 60_000;
const HEARTBEAT_SLACK_MS = 30_000;

function describe({ silentMs, pathWorks }: Extract<Verdict, { type: 'dead' }>): string {
  const silent = `nothing heard from the server for ${Math.round(silentMs / 1000)} s`;
  return pathWorks ? `${silent}, though it answers new connections` : silent;
}
