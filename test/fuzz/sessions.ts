import { setMaxListeners } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Connection } from 'ssh2';
import { systemClock } from '../../src/lib/async/clock.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import { asFailure } from '../../src/model/failure.ts';
import type { SshConnection, Visitor } from '../../src/connection/ssh/connection.ts';
import { createTurns, type Turns } from '../../src/net/pacing/turns.ts';
import { createVisitLog } from '../../src/forwarding/visitors/visit-log.ts';
import { serveVisitor } from '../../src/forwarding/visitors/remote-visitor.ts';
import { startEcho } from '../support/echo.ts';
import type { TestSshd } from '../support/sshd.ts';
import { quietDevice } from '../support/tunnel.ts';
import { connectTo } from '../support/connection.ts';
import { sendPayload, startFakeSsh } from '../support/fake-server.ts';
import { createDice, nextMessage, type Dice } from './messages.ts';

export interface FuzzReport {
  readonly sessions: number;
  readonly messages: number;
  /** How sessions ended, and how often. */
  readonly endings: Readonly<Record<string, number>>;
  readonly longestStopMs: number;
  readonly rssMiB: number;
  /** What must never be: exceptions that nobody caught, warnings of Node, sessions that do not end. */
  readonly findings: readonly string[];
}

/**
 * Session after session with a server that has logged us in and then sends what the dice make of its messages, until so many were sent.
 * Each session has visitors in both directions, and gets its own seed, which a finding names.
 */
export async function fuzzSessions(sshd: TestSshd, messages: number, seed: number): Promise<FuzzReport> {
  const world = await startWorld(sshd);
  const endings = new Map<string, number>();
  const findings: string[] = [];
  let current = seed;
  const note = (what: string) => (error: unknown) =>
    findings.push(
      `seed ${current}: ${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  const listeners = [
    ['uncaughtException', note('uncaught')],
    ['unhandledRejection', note('unhandled')],
    ['warning', note('warning')],
  ] as const;
  for (const [event, listener] of listeners) process.on(event, listener);
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  let sent = 0;
  let rss = 0;
  let sessions = 0;
  for (; sent < messages; sessions++, current++) {
    const result = await runOne(world, createDice(current), Math.min(MAX_MESSAGES, messages - sent));
    sent += result.sent;
    rss = Math.max(rss, process.memoryUsage.rss());
    endings.set(result.ending, (endings.get(result.ending) ?? 0) + 1);
    if (result.finding !== null) note('session')(result.finding);
  }
  delay.disable();
  for (const [event, listener] of listeners) process.off(event, listener);
  await world.close();
  return {
    sessions,
    messages: sent,
    endings: Object.fromEntries([...endings].toSorted(([, a], [, b]) => b - a)),
    longestStopMs: Math.round(delay.max / 1e6),
    rssMiB: Math.round(rss / 2 ** 20),
    findings,
  };
}

/** A connection that takes more than this is ended by the server, so that all begin anew. */
const MAX_MESSAGES = 400;
const BURST = 20;
/** The port of the listener that every session asks for; nobody binds it. */
const PORT = 8080;

interface World {
  readonly sshd: TestSshd;
  readonly port: number;
  readonly echoPort: number;
  /** The server's end of the session that runs. */
  connection(): Connection | null;
  close(): Promise<void>;
}

async function startWorld(sshd: TestSshd): Promise<World> {
  const echo = await startEcho();
  const context = createContext();
  let current: Connection | null = null;
  const server = await startFakeSsh(context.t, sshd, (connection) => {
    current = connection;
    connection.on('authentication', (attempt) => attempt.accept());
    connection.on('request', (accept) => accept?.());
    connection.on('tcpip', (accept) =>
      accept()
        .on('error', () => {})
        .resume(),
    );
  });
  return {
    sshd,
    port: server.port,
    echoPort: echo.port,
    connection: () => current,
    close: async () => {
      await context.end();
      await echo.close();
    },
  };
}

interface Result {
  readonly sent: number;
  readonly ending: string;
  readonly finding: string | null;
}

async function runOne(world: World, dice: Dice, budget: number): Promise<Result> {
  const context = createContext();
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  const visits: Promise<void>[] = [];
  let ours: SshConnection | null = null;
  const receive = (visitor: Visitor) => {
    if (ours === null || visits.length > 200) visitor.reject();
    else visits.push(serve(visitor, ours, world.echoPort, over.signal));
  };
  try {
    const connection = await connectTo(context.t, world.sshd, receive, world.port, freshTurns());
    ours = connection;
    connection.lost.catch((error: unknown) => over.abort(error));
    await connection.listen({ type: 'tcp', host: 'localhost', port: PORT });
    const channel = await connection.open({ type: 'tcp', host: 'x', port: 1 }, { address: '127.0.0.1', port: 1 });
    channel.on('error', () => {}).resume();
    channel.write(Buffer.alloc(100_000));
    const server = world.connection()!;
    await visitOnce(server);
    let sent = 0;
    while (sent < budget && !over.signal.aborted) {
      for (let count = 0; count < BURST && sent < budget; count++, sent++)
        sendPayload(server, nextMessage(dice, PORT, [0, 1, 1, 1, dice.roll(visits.length + 1)]));
      await nextTurn();
    }
    if (!over.signal.aborted) server.end();
    const ended = await within(connection.lost.then(() => null, asFailure));
    await within(Promise.all(visits));
    if (ended === null) return { sent, ending: 'never', finding: 'the session did not end' };
    return { sent, ending: `${ended.code}: ${kindOf(ended.message)}`, finding: null };
  } catch (error) {
    return { sent: 1, ending: 'no session', finding: error instanceof Error ? (error.stack ?? '') : String(error) };
  } finally {
    over.abort(new Error('over'));
    await context.end();
  }
}

/** Thousands of connections a minute are what this is about: none knows of the others. */
function freshTurns(): Turns {
  return createTurns({ clock: systemClock, random: Math.random, icmpRefusals: () => null });
}

async function visitOnce(server: Connection): Promise<void> {
  await new Promise<void>((resolve) => {
    server.forwardOut('localhost', PORT, '192.0.2.1', 1, (error, channel) => {
      if (!error)
        channel
          .on('error', () => {})
          .resume()
          .write('hello');
      resolve();
    });
  });
}

function serve(visitor: Visitor, connection: SshConnection, echoPort: number, signal: AbortSignal): Promise<void> {
  const endpoint = { type: 'tcp', host: 'localhost', port: PORT } as const;
  const silent = createLogger('fatal', () => {});
  return serveVisitor(
    visitor,
    {
      forward: { kind: 'remote', listen: endpoint, target: { type: 'tcp', host: '127.0.0.1', port: echoPort } },
      counters: {
        connections: 0,
        totalConnections: 0,
        refusedConnections: 0,
        cutConnections: 0,
        bytesIn: 0,
        bytesOut: 0,
      },
      open: new Set(),
      transport: connection.transport,
      clock: systemClock,
      log: silent,
      visitLog: createVisitLog(silent, systemClock),
      connectTimeoutMs: 5000,
      addressFamily: 'any',
      unacknowledged: quietDevice.unacknowledged,
      onSocket: () => {},
      permitRemoteOpen: null,
      idle: null,
      onTarget: () => {},
    },
    signal,
  );
}

/** Numbers and names left out, so that like endings are counted together. */
function kindOf(message: string): string {
  return message.replace(/\d+/g, 'N').slice(0, 90);
}

async function within<T>(work: Promise<T>): Promise<T | null> {
  let cancel = () => {};
  const late = new Promise<null>((resolve) => (cancel = systemClock.timer(PATIENCE_MS, () => resolve(null))));
  return Promise.race([work, late]).finally(() => cancel());
}

const PATIENCE_MS = 20_000;

/** What helpers want of a test, for as long as one session. */
function createContext(): { readonly t: TestContext; end(): Promise<void> } {
  const hooks: (() => unknown)[] = [];
  const t = { after: (hook: () => unknown) => void hooks.push(hook) } as unknown as TestContext;
  return {
    t,
    end: async () => {
      for (const hook of hooks.toReversed()) await hook();
    },
  };
}
