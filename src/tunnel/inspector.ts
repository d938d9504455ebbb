import { abortable, childController, deferred } from '../lib/abort.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import { type AnswererDeps, describeAnswerer } from './answerer.ts';
import { examine, type Test } from './examine.ts';
import { asFailure, type TunnelFailure } from './failure.ts';
import type { Endpoint } from './spec.ts';
import type { Channel, SshConnection, Visitor } from './ssh.ts';

/** Who answers at a listener, as seen by a connection that the server opened to it for us. */
export type Answerer =
  /** What we sent there came out here. */
  | { readonly type: 'ours' }
  /** Somebody takes connections there, and what we sent did not come out here. */
  | { readonly type: 'other'; readonly who: string }
  /** Nobody listens there. */
  | { readonly type: 'nobody' }
  /** The server opens no such connection for us, or does not tell; `passing` where that may be different in a minute. */
  | { readonly type: 'unknown'; readonly why: string; readonly passing?: boolean };

/**
 * Looks at listeners from the server's side, by connections that the server opens to them for us. sshd says that it listens on
 * `localhost` when it could bind one of 127.0.0.1 and ::1, and gives no reason when it refuses.
 */
export interface Inspector {
  /**
   * Who answers at this listener; `port` is the one that the server chose where it did. `quietly` sends nothing there, for a
   * listener that is known not to be ours. Rejects only with the connection or the signal.
   */
  look(listen: Endpoint, port: number, quietly?: boolean): Promise<Answerer>;
  /**
   * Takes the visitor that may be a test of ours, and resolves, soon, with the one who is to be served after all; with null where
   * nobody is. Null at once for one who is certainly no test, or whom there is no room for.
   */
  claim(visitor: Visitor, options: ClaimOptions): Promise<Visitor | null> | null;
}

interface ClaimOptions {
  /** Whether there is room for visitors; for a few tests there always is. */
  readonly room: boolean;
  /** Whether one who waits for the first word from the other side may be served before the tests are over. */
  readonly early: boolean;
}

export interface InspectorDeps extends AnswererDeps {
  /** Bytes that nobody can guess, as text. */
  readonly nonce: () => string;
}

type InspectedConnection = Pick<SshConnection, 'open' | 'probe' | 'serverVersion' | 'transport'>;

export function createInspector(connection: InspectedConnection, deps: InspectorDeps, signal: AbortSignal): Inspector {
  const { clock } = deps;
  const tests = new Set<Test>();
  /** Those whose words may still come, late. */
  const missed = new Set<Test>();
  let examined = 0;
  const remember = (test: Test) => {
    if (signal.aborted) return;
    missed.add(test);
    const cancel = clock.timer(LATE_MS, () => missed.delete(test));
    signal.addEventListener('abort', cancel, { once: true });
  };

  return {
    look: async (listen, port, quietly = false) => {
      const test: Test = {
        listen,
        port,
        words: `tunneld-verify ${deps.nonce()}\n`,
        sent: deferred<void>(),
        seen: deferred<'ours'>(),
        over: childController(signal),
        done: false,
      };
      let sent = false;
      // Without words nobody needs to be held up.
      if (!quietly) tests.add(test);
      let channel: Channel | null = null;
      const again = () => visitListener(connection, addressesOf(listen, port), clock, signal);
      try {
        channel = await visitListener(connection, addressesOf(listen, port), clock, signal);
        channel.on('error', () => {});
        if (quietly) return { type: 'other', who: await describeAnswerer(channel, again, deps, signal) };
        sent = true;
        channel.write(test.words);
        test.sent.resolve();
        const answer = await abortable(
          Promise.race([test.seen.promise, nobodyCame(connection, clock, signal)]),
          signal,
        );
        if (answer === 'ours') return { type: 'ours' };
        // Others give their listeners out in ways of their own, and may have something else on that port of their machine.
        if (!connection.serverVersion.startsWith('OpenSSH')) return { type: 'unknown', why: NOT_OPENSSH };
        if (answer === 'slow') return { type: 'unknown', why: TOO_SLOW, passing: true };
        const late = await Promise.race([test.seen.promise, describeAnswerer(channel, again, deps, signal)]);
        if (late === 'ours') return { type: 'ours' };
        return test.crowded ? { type: 'unknown', why: TOO_MANY, passing: true } : { type: 'other', who: late };
      } catch (error) {
        signal.throwIfAborted();
        return withoutAnswer(asFailure(error), connection.serverVersion);
      } finally {
        tests.delete(test);
        if (sent && !test.done) remember(test);
        test.over.abort(new Error('the test is over'));
        test.over.dispose();
        if (channel !== null) discard(channel);
      }
    },
    claim: (visitor, { room, early }) => {
      const running = [...tests].filter((one) => mayBe(visitor, one));
      const late = [...missed].filter((one) => mayBe(visitor, one));
      if (running.length + late.length === 0) return null;
      if (!room && examined >= SPARE) {
        for (const test of running) test.crowded = true;
        return null;
      }
      examined += 1;
      const probe = early ? () => connection.probe() : null;
      return examine(visitor, running, late, { clock, probe }, signal).finally(() => (examined -= 1));
    },
  };
}

/** Those whose place is for tests when all others are taken. */
const SPARE = 16;

const NOT_OPENSSH = 'the server is not OpenSSH, and what it says of its own ports is not to be relied on';
const TOO_SLOW = 'the server did not answer in time';
const TOO_MANY = 'too many visitors came at once to tell';

/** For the server to open the connection, and for an answer; it may be far away or busy. */
const PATIENCE_MS = 5000;
/** What the words may take longer than an answer to a question, at least: a lost packet is repeated by then. */
const LATER_MS = 2000;
const LATE_MS = 120_000;
const LONGEST_PATIENCE_MS = 60_000;
/** More than questions and answers, less than the slowest link carries in that time when it is full. */
const MUCH_BYTES = 4096;

/** The first of these addresses that the server connects us to. */
async function visitListener(
  connection: InspectedConnection,
  addresses: readonly Endpoint[],
  clock: Clock,
  signal: AbortSignal,
): Promise<Channel> {
  let failure: unknown = null;
  for (const address of addresses) {
    const opening = connection.open(address, { address: '127.0.0.1', port: 0 });
    const enough = childController(signal);
    try {
      return await abortable(Promise.race([opening, tooLate(connection, clock, enough.signal)]), signal);
    } catch (error) {
      opening.then(discard, () => {});
      signal.throwIfAborted();
      failure ??= error;
      if (!['forward-refused', 'target-unreachable'].includes(asFailure(error).code)) break;
    } finally {
      enough.abort(new Error('it answered'));
      enough.dispose();
    }
  }
  throw failure;
}

async function tooLate(connection: InspectedConnection, clock: Clock, signal: AbortSignal): Promise<never> {
  await patience(connection, PATIENCE_MS, clock, signal);
  throw new Error('the server did not say in time whether it connects us to its listener');
}

/** While much leaves, what was asked may still wait behind it, here or in the kernel, and the server is not late with its answer. */
async function patience(
  { transport }: InspectedConnection,
  ms: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const started = clock.now();
  for (let before = transport.traffic(); ;) {
    await sleep(clock, ms, signal);
    const now = transport.traffic();
    const moves = now.bytesSent - before.bytesSent > MUCH_BYTES;
    if (!moves || clock.now() - started > LONGEST_PATIENCE_MS) return;
    before = now;
  }
}

/** Closed, whatever comes of it; one that nobody reads would never be. */
function discard(channel: Channel): void {
  channel.on('error', () => {});
  channel.resume();
  channel.close();
}

/** `localhost` comes second: rules of the server compare the text, and only 127.0.0.1 tells that it is ours there. */
function addressesOf(listen: Endpoint, port: number): readonly Endpoint[] {
  if (listen.type === 'unix') return [listen];
  const tcp = (host: string): Endpoint => ({ type: 'tcp', host, port });
  if (['localhost', '', '*', '0.0.0.0'].includes(listen.host)) return [tcp('127.0.0.1'), tcp('localhost')];
  return [tcp(listen.host === '::' ? '::1' : listen.host)];
}

/**
 * The visitor and the answer to a question come on one connection: what has not come a round trip and a while later never will. The
 * second question leaves after our word that we take the visitor, for which the server waits before it passes anything on.
 */
async function nobodyCame(
  connection: InspectedConnection,
  clock: Clock,
  signal: AbortSignal,
): Promise<'nobody' | 'slow'> {
  const asked = clock.now();
  const over = childController(signal);
  const answered = async () => {
    await connection.probe();
    await connection.probe();
    await sleep(clock, Math.max(LATER_MS, 4 * (clock.now() - asked)), over.signal);
    return 'nobody' as const;
  };
  const slow = () => patience(connection, PATIENCE_MS + LATER_MS, clock, over.signal).then(() => 'slow' as const);
  try {
    return await Promise.race([answered(), slow()]);
  } finally {
    over.abort(new Error('decided'));
    over.dispose();
  }
}

function mayBe({ listen, originator }: Visitor, test: Test): boolean {
  if (test.listen.type === 'unix') return listen.type === 'unix' && listen.path === test.listen.path;
  if (listen.type !== 'tcp' || listen.host !== test.listen.host || listen.port !== test.port) return false;
  const local = ['localhost', '', '*', '0.0.0.0', '127.0.0.1', '::', '::1'].includes(test.listen.host);
  return !local || /^(?:127\.|::1:|::ffff:127\.)/.test(originator);
}

function withoutAnswer({ code, message }: TunnelFailure, serverVersion: string): Answerer {
  if (code !== 'target-unreachable') return { type: 'unknown', why: message, passing: code !== 'forward-refused' };
  return serverVersion.startsWith('OpenSSH') ? { type: 'nobody' } : { type: 'unknown', why: NOT_OPENSSH };
}
