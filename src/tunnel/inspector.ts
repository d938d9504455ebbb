import { abortable, childController, deferred, type Deferred } from '../lib/abort.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import { type AnswererDeps, describeAnswerer } from './answerer.ts';
import { asFailure, type TunnelFailure } from './failure.ts';
import { peek } from './peek.ts';
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
  /** The server opens no such connection for us, or does not tell. */
  | { readonly type: 'unknown'; readonly why: string };

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
  /** Takes the visitor that may be a test of ours; one that is not is given to `others` a moment later. */
  claim(visitor: Visitor, others: (visitor: Visitor) => void): boolean;
}

export interface InspectorDeps extends AnswererDeps {
  /** Bytes that nobody can guess, as text. */
  readonly nonce: () => string;
}

type InspectedConnection = Pick<SshConnection, 'open' | 'probe' | 'serverVersion'>;

export function createInspector(connection: InspectedConnection, deps: InspectorDeps, signal: AbortSignal): Inspector {
  const { clock } = deps;
  const tests = new Set<Test>();
  /** Those whose words may still come, late. */
  const missed = new Set<Test>();
  const remember = (test: Test) => {
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
        seen: deferred<'ours'>(),
        over: childController(signal),
        done: false,
      };
      tests.add(test);
      let channel: Channel | null = null;
      const again = () => visitListener(connection, addressesOf(listen, port), clock, signal);
      try {
        channel = await visitListener(connection, addressesOf(listen, port), clock, signal);
        channel.on('error', () => {});
        if (quietly) return { type: 'other', who: await describeAnswerer(channel, again, deps, signal) };
        channel.write(test.words);
        const answer = await abortable(
          Promise.race([test.seen.promise, nobodyCame(connection, clock, signal)]),
          signal,
        );
        if (answer === 'ours') return { type: 'ours' };
        // Others give their listeners out in ways of their own, and may have something else on that port of their machine.
        if (!connection.serverVersion.startsWith('OpenSSH')) return { type: 'unknown', why: NOT_OPENSSH };
        if (answer === 'slow') return { type: 'unknown', why: TOO_SLOW };
        const late = await Promise.race([test.seen.promise, describeAnswerer(channel, again, deps, signal)]);
        return late === 'ours' ? { type: 'ours' } : { type: 'other', who: late };
      } catch (error) {
        signal.throwIfAborted();
        return withoutAnswer(asFailure(error), connection.serverVersion);
      } finally {
        tests.delete(test);
        if (!test.done) remember(test);
        test.over.abort(new Error('the test is over'));
        test.over.dispose();
        channel?.resume();
        channel?.close();
      }
    },
    claim: (visitor, others) => {
      const running = [...tests].filter((one) => mayBe(visitor, one));
      const late = [...missed].filter((one) => mayBe(visitor, one));
      if (running.length + late.length === 0) return false;
      void examine(visitor, running, late, others, clock, signal);
      return true;
    },
  };
}

interface Test {
  readonly listen: Endpoint;
  readonly port: number;
  /** What is sent through the listener. */
  readonly words: string;
  readonly seen: Deferred<'ours'>;
  readonly over: AbortController & { dispose(): void };
  /** Its words have come. */
  done: boolean;
}

const NOT_OPENSSH = 'the server is not OpenSSH, and what it says of its own ports is not to be relied on';
const TOO_SLOW = 'the server did not answer in time';

/** For the server to open the connection, and for an answer; it may be far away or busy. */
const PATIENCE_MS = 5000;
/** What the words may take longer than an answer to a question, at least: a lost packet is repeated by then. */
const LATER_MS = 2000;
const MOMENT_MS = 300;
const LATE_MS = 120_000;

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
    try {
      return await abortable(Promise.race([opening, tooLate(clock, signal)]), signal);
    } catch (error) {
      opening.then(
        (late) => late.close(),
        () => {},
      );
      signal.throwIfAborted();
      failure ??= error;
      if (!['forward-refused', 'target-unreachable'].includes(asFailure(error).code)) break;
    }
  }
  throw failure;
}

async function tooLate(clock: Clock, signal: AbortSignal): Promise<never> {
  await sleep(clock, PATIENCE_MS, signal);
  throw new Error('the server did not say within 5 s whether it connects us to its listener');
}

/** `localhost` comes second: rules of the server compare the text, and only 127.0.0.1 tells that it is ours there. */
function addressesOf(listen: Endpoint, port: number): readonly Endpoint[] {
  if (listen.type === 'unix') return [listen];
  const tcp = (host: string): Endpoint => ({ type: 'tcp', host, port });
  if (['localhost', '', '*', '0.0.0.0'].includes(listen.host)) return [tcp('127.0.0.1'), tcp('localhost')];
  return [tcp(listen.host === '::' ? '::1' : listen.host)];
}

/** The visitor and the answer to a question come on one connection: what has not come a round trip and a while later never will. */
async function nobodyCame(
  connection: InspectedConnection,
  clock: Clock,
  signal: AbortSignal,
): Promise<'nobody' | 'slow'> {
  const asked = clock.now();
  const answered = connection.probe().then(async () => {
    await sleep(clock, Math.max(LATER_MS, 4 * (clock.now() - asked)), signal);
    return 'nobody' as const;
  });
  answered.catch(() => {});
  const slow = sleep(clock, PATIENCE_MS + LATER_MS, signal).then(() => 'slow' as const);
  slow.catch(() => {});
  return await Promise.race([answered, slow]);
}

function mayBe({ listen, originator }: Visitor, test: Test): boolean {
  if (test.listen.type === 'unix') return listen.type === 'unix' && listen.path === test.listen.path;
  if (listen.type !== 'tcp' || listen.host !== test.listen.host || listen.port !== test.port) return false;
  const local = ['localhost', '', '*', '0.0.0.0', '127.0.0.1', '::', '::1'].includes(test.listen.host);
  return !local || /^(?:127\.|::1:|::ffff:127\.)/.test(originator);
}

/**
 * A visitor who says nothing, or something else, has come for the target: he waits until the tests that run are over, or for a
 * moment where only the words of earlier ones may still come.
 */
async function examine(
  visitor: Visitor,
  running: readonly Test[],
  late: readonly Test[],
  others: (visitor: Visitor) => void,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const channel = visitor.accept();
  let gone = false;
  channel.on('error', () => {});
  channel.once('close', () => (gone = true));
  const known = [...running, ...late];
  const length = Math.max(...known.map(({ words }) => words.length));
  const differs = (bytes: Buffer) =>
    !known.some(({ words }) => Buffer.from(words).subarray(0, bytes.length).equals(bytes));
  const patience = childController(signal);
  const release = () => patience.abort(new Error('waited long enough'));
  const cancel = running.length === 0 ? clock.timer(MOMENT_MS, release) : () => {};
  for (const { over } of running) over.signal.addEventListener('abort', release, { once: true });
  const bytes = await peek(channel, length, differs, patience.signal).catch(() => null);
  cancel();
  patience.dispose();
  const test = bytes === null ? undefined : known.find(({ words }) => bytes.toString() === words);
  if (test !== undefined) {
    test.done = true;
    test.seen.resolve('ours');
    channel.resume();
    channel.close();
    return;
  }
  if (gone) return;
  others({
    ...visitor,
    accept: () => channel,
    gone: () => gone,
    reject: () => {
      channel.resume();
      channel.close();
    },
  });
}

function withoutAnswer({ code, message }: TunnelFailure, serverVersion: string): Answerer {
  if (code !== 'target-unreachable') return { type: 'unknown', why: message };
  return serverVersion.startsWith('OpenSSH') ? { type: 'nobody' } : { type: 'unknown', why: NOT_OPENSSH };
}
