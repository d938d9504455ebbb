import type { Traffic } from '../../net/transport.ts';
import { type Liveness, askNow, assess, pathSeen, startLiveness, type LivenessVerdict } from './liveness.ts';
import { createEmitter, type Emitter } from '../../lib/async/emitter.ts';
import { withScope } from '../../lib/async/scope.ts';
import { childController } from '../../lib/async/abort.ts';
import { type Clock, sleepUntil } from '../../lib/async/clock.ts';
import { awake } from '../../lib/async/timer-between.ts';
import type { Device } from '../../net/device.ts';
import { TunnelFailure } from '../../model/failure.ts';
import type { ServerSpec } from '../../model/spec.ts';
import type { SshConnection } from './connection.ts';
import type { TunnelState } from '../../model/state.ts';

export interface KeepaliveDeps {
  readonly clock: Clock;
  readonly device: Pick<Device, 'onChange' | 'lostAddress' | 'unacknowledged'>;
  /** Resolves when a new connection to the server is answered; null where only a new start could show it. */
  readonly probe: ((signal: AbortSignal) => Promise<void>) | null;
  heartbeat(withinMs: number): void;
  state(): KeepaliveState;
  report(change: Partial<KeepaliveState>): void;
}

/** What the keepalive finds out. */
type KeepaliveState = Pick<TunnelState, 'rttMs' | 'silentSince'>;

type KeepaliveSpec = Pick<ServerSpec, 'serverAliveIntervalMs' | 'serverAliveCountMax'>;

/**
 * Pings a silent server, and gives up a dead connection. Never resolves; rejects with keepalive-lost or the signal's
 * reason.
 */
export async function runKeepalive(
  connection: SshConnection,
  spec: KeepaliveSpec,
  deps: KeepaliveDeps,
  signal: AbortSignal,
): Promise<never> {
  return await withScope(signal, (scope) => new Keepalive(connection, spec, deps, scope.signal).run());
}

class Keepalive {
  readonly #connection: SshConnection;
  readonly #spec: KeepaliveSpec;
  readonly #deps: KeepaliveDeps;
  readonly #signal: AbortSignal;
  readonly #woken = createEmitter();
  readonly #asking: Emitter;
  /** Another one has just asked: so may this one, a little early. */
  #inCompany = false;
  #live: Liveness;
  #moved: TunnelFailure | null = null;
  #pathProbe: ReturnType<typeof childController> | null = null;

  constructor(connection: SshConnection, spec: KeepaliveSpec, deps: KeepaliveDeps, signal: AbortSignal) {
    this.#connection = connection;
    this.#spec = spec;
    this.#deps = deps;
    this.#signal = signal;
    this.#asking = askingOf(deps.clock);
    this.#live = startLiveness(deps.clock.now(), this.#traffic());
  }

  async run(): Promise<never> {
    const { clock, device, heartbeat } = this.#deps;
    const unsubscribe = device.onChange(() => this.#onChange());
    const onAsking = (wake: () => void) =>
      this.#asking.subscribe(() => {
        this.#inCompany = true;
        wake();
      });
    try {
      for (;;) {
        if (this.#moved !== null) throw this.#moved;
        const { verdict } = this.#assess();
        if (verdict.type === 'dead') throw new TunnelFailure('keepalive-lost', describe(verdict));
        if (verdict.type === 'ask') {
          void this.#measure();
          if (!this.#inCompany) {
            this.#asking.emit();
            awake(clock);
          }
        }
        this.#inCompany = false;
        this.#probePath(verdict.type === 'doubt');
        this.#showSilence(verdict.type === 'doubt');
        const ms = Math.min(verdict.ms, LONGEST_WAIT_MS);
        heartbeat(ms + HEARTBEAT_SLACK_MS);
        const waking = verdict.type === 'ask' ? [this.#woken.subscribe] : [this.#woken.subscribe, onAsking];
        await sleepUntil(verdict.type === 'ask' ? answerSoon(clock) : clock, ms, waking, this.#signal);
      }
    } finally {
      unsubscribe();
    }
  }

  #assess(): ReturnType<typeof assess> {
    const step = assess(this.#live, this.#deps.clock.now(), this.#traffic(), {
      intervalMs: this.#spec.serverAliveIntervalMs,
      countMax: this.#spec.serverAliveCountMax,
      rttMs: this.#deps.state().rttMs,
      early: this.#inCompany,
    });
    this.#live = step.next;
    return step;
  }

  #traffic(): Traffic {
    const { transport } = this.#connection;
    const { addresses: ends, direct } = transport;
    return {
      ...transport.traffic(),
      // An acknowledgement of a proxy or a jump host is none of the server.
      unacknowledged: ends === null || !direct ? null : this.#deps.device.unacknowledged(ends),
    };
  }

  /** The machine has resumed from sleep, or its addresses or routes have changed. */
  #onChange(): void {
    const { addresses: ends } = this.#connection.transport;
    this.#live = askNow(this.#live);
    this.#woken.emit();
    if (ends === null) return;
    const { localAddress } = ends;
    void this.#deps.device.lostAddress(localAddress).then((lost) => {
      if (lost)
        this.#moved = new TunnelFailure('keepalive-lost', `${localAddress} is no longer an address of this device`);
      this.#woken.emit();
    });
  }

  async #measure(): Promise<void> {
    const { clock, report } = this.#deps;
    const asked = clock.now();
    try {
      await this.#connection.ping();
      report({ rttMs: Math.round((clock.now() - asked) * 10) / 10 });
      // The wait for the answer is over: it is not waited for again.
      this.#woken.emit();
    } catch {
      // The connection ended meanwhile; `lost` has the reason.
    }
  }

  /** Once for each doubt, until the path is answered or the doubt is over. */
  #probePath(wanted: boolean): void {
    const { clock, probe } = this.#deps;
    if (!wanted) {
      this.#pathProbe?.abort(new Error('no doubt any more'));
      this.#pathProbe?.dispose();
      this.#pathProbe = null;
    } else if (this.#pathProbe === null && probe !== null) {
      this.#pathProbe = childController(this.#signal);
      probe(this.#pathProbe.signal).then(
        () => {
          this.#live = pathSeen(this.#live, clock.now());
          this.#woken.emit();
        },
        () => {},
      );
    }
  }

  #showSilence(doubt: boolean): void {
    const silentSince = doubt ? this.#live.aliveAt : null;
    if ((silentSince === null) !== (this.#deps.state().silentSince === null)) this.#deps.report({ silentSince });
  }
}

/**
 * When one of a clock's keepalives asks. Those that would have to ask soon ask with it, so that a process with many connections wakes once
 * for all of them, and a radio too.
 */
function askingOf(clock: Clock): Emitter {
  const asking = askings.get(clock) ?? createEmitter();
  askings.set(clock, asking);
  return asking;
}

const askings = new WeakMap<Clock, Emitter>();

/** An answer nearly always ends the wait for it. */
function answerSoon(clock: Clock): Clock {
  return { ...clock, timer: (ms, fn) => clock.timer(ms, fn, true) };
}

const LONGEST_WAIT_MS = 60_000;
const HEARTBEAT_SLACK_MS = 30_000;

function describe({ silentMs, pathWorks }: Extract<LivenessVerdict, { type: 'dead' }>): string {
  const silent = `nothing heard from the server for ${Math.round(silentMs / 1000)} s`;
  return pathWorks ? `${silent}, though it answers new connections` : silent;
}
