import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemEnvironment } from '../../src/config/input/environment.ts';
import { completeTunnel } from '../../src/config/resolve/defaults.ts';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';
import { unacknowledged } from '../../src/host/tcp-queue.ts';
import type { TunnelDevice } from '../../src/tunnel/remembered.ts';
import { type OwnerRecord, type OwnerMemory, ownersAt, type Machine } from '../../src/forwarding/listeners/owners.ts';
import { createSuspendableListeners } from '../../src/forwarding/listeners/suspendable-listeners.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import type { Phase, TunnelState } from '../../src/model/state.ts';
import { createStore } from '../../src/tunnel/store.ts';
import { runTunnel } from '../../src/tunnel/tunnel.ts';
import { createTurns, type Turns } from '../../src/net/pacing/turns.ts';
import type { ConnectionPool } from '../../src/connection/shared/connection-pool.ts';
import type { TestSshd } from './sshd.ts';
import { PATIENCE_MS, until } from './until.ts';

/** A tunnel's loop in this process. */
export interface TestTunnel {
  readonly spec: TunnelSpec;
  state(): TunnelState;
  /** Every phase so far, in order. */
  readonly phases: readonly Phase[];
  /** Every announcement of a next attempt, with the number of those before it: in how many milliseconds it was to be. */
  readonly announced: readonly { readonly phase: Phase; readonly attempts: number; readonly inMs: number }[];
  /** The log, parsed. */
  readonly lines: readonly Record<string, unknown>[];
  /** The latest "I will be back within", for the watchdog: a monotonic time. */
  dueBy(): number;
  retryNow(): void;
  untilPhase(phase: Phase, timeoutMs?: number): Promise<TunnelState>;
  untilFailure(code: string, timeoutMs?: number): Promise<TunnelState>;
  stop(): Promise<void>;
}

export interface TestTunnelOptions {
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly device?: Partial<TunnelDevice>;
  readonly connections?: ConnectionPool | null;
  readonly ping?: ((signal: AbortSignal) => Promise<boolean>) | null;
}

const TURNS = createTurns({ clock: systemClock, random: Math.random, icmpRefusals: () => null });

/** A machine whose network never changes and which remembers no ports. */
export const quietDevice: TunnelDevice = {
  onChange: () => () => {},
  lostAddress: () => Promise.resolve(false),
  unacknowledged,
  hostKeys: () => Promise.resolve([]),
  owners: (server) => ownersAt(server, { memory: ownerMemory(), machine: NO_MACHINE, day: () => '2026-01-31' }),
  onTaken: () => () => {},
  sourcePorts: () => assert.fail('the spec says sourcePort: any'),
  turns: TURNS,
};

/** A machine of which nothing is known. */
export const NO_MACHINE: Machine = { id: null, hostKeys: [], hardware: [] };

/** What is remembered of listeners for as long as the test runs. */
export function ownerMemory(): OwnerMemory {
  const known = new Map<string, OwnerRecord>();
  return { recall: (key) => known.get(key) ?? null, remember: (key, record) => void known.set(key, record) };
}

/** The turns of this process; those of another clock are of their own. */
export function testTurns(clock: Clock = systemClock): Turns {
  return clock === systemClock ? TURNS : createTurns({ clock, random: Math.random, icmpRefusals: () => null });
}

/** Runs one tunnel until the test ends. */
export function startTunnel(t: TestContext, spec: TunnelSpec, options: TestTunnelOptions = {}): TestTunnel {
  const clock = options.clock ?? systemClock;
  const controller = new AbortController();
  const lines: Record<string, unknown>[] = [];
  const phases: Phase[] = [];
  const announced: TestTunnel['announced'][number][] = [];
  const store = createStore(spec, clock);
  store.subscribe((next, before) => {
    if (next.phase !== phases.at(-1)) phases.push(next.phase);
    const { phase, attempts, retryAt } = next;
    if (retryAt !== null && retryAt !== before.retryAt)
      announced.push({ phase, attempts, inMs: retryAt - clock.now() });
  });
  let retryNow = () => {};
  let dueBy = 0;
  const done = runTunnel(
    spec,
    {
      clock,
      random: options.random ?? Math.random,
      log: createLogger('trace', (line) => lines.push(JSON.parse(line) as Record<string, unknown>)),
      identities: createIdentityCache(),
      device: { ...quietDevice, turns: testTurns(clock), ...options.device },
      ping: options.ping ?? null,
      connections: options.connections ?? null,
      listeners: createSuspendableListeners(clock),
      visitorsEnd: controller.signal,
      heartbeat: (withinMs) => (dueBy = clock.now() + withinMs),
      store,
      onRetryNow: (retry) => (retryNow = retry),
    },
    controller.signal,
  );
  const stop = async () => {
    controller.abort(new Error('stopped'));
    await done;
  };
  t.after(stop);
  const describe = () => {
    const { phase, failure } = store.state();
    return `${phase} after ${phases.join(' → ')}; ${failure?.code}: ${failure?.message}`;
  };
  return {
    spec,
    state: store.state,
    phases,
    announced,
    lines,
    dueBy: () => dueBy,
    retryNow: () => retryNow(),
    untilPhase: async (phase, timeoutMs = PATIENCE_MS) => {
      await until(() => store.state().phase === phase, {
        timeoutMs,
        what: () => `phase ${phase}, but it is ${describe()}`,
      });
      return store.state();
    },
    untilFailure: async (code, timeoutMs = PATIENCE_MS) => {
      await until(() => store.state().failure?.code === code, {
        timeoutMs,
        what: () => `failure ${code}, but it is ${describe()}`,
      });
      return store.state();
    },
    stop,
  };
}

/**
 * A complete spec for a test server: its key, its host key, and the forwards as `[listen port, target port]`. A port that the server is to
 * choose is of one address: where another program has it at the other address of localhost, visitors would come there.
 */
export function specFor(
  sshd: Pick<TestSshd, 'dir' | 'port' | 'user' | 'clientKey' | 'knownHostsLine'>,
  forwards: readonly (readonly [number, number])[],
  changes: Partial<TunnelSpec> = {},
): TunnelSpec {
  const port = changes.port ?? sshd.port;
  const knownHosts = join(sshd.dir, `known_hosts-${port}`);
  writeFileSync(knownHosts, sshd.knownHostsLine('127.0.0.1', port));
  assert.ok(forwards.length > 0);
  return {
    ...plainSpec(),
    port,
    user: sshd.user,
    sourcePort: 'any',
    identityFiles: [sshd.clientKey],
    identityFilesConfigured: true,
    identitiesOnly: true,
    userKnownHostsFiles: [knownHosts],
    globalKnownHostsFiles: [],
    forwards: forwards.map(([listen, target]) => ({
      kind: 'remote',
      listen: { type: 'tcp', host: listen === 0 ? '127.0.0.1' : 'localhost', port: listen },
      target: { type: 'tcp', host: '127.0.0.1', port: target },
    })),
    ...changes,
  };
}

/** A tunnel to this machine that says nothing: every option is what it is by itself. */
export function plainSpec(): TunnelSpec {
  const env = { ...systemEnvironment(), env: {}, aes: true };
  return completeTunnel('test', '127.0.0.1', {}, { jumps: [], entry: { type: 'direct' } }, env);
}
