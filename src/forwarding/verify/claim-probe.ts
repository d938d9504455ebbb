import { childController, type Deferred } from '../../lib/async/abort.ts';
import { sleep, type Clock } from '../../lib/async/clock.ts';
import { peek } from '../../net/peek-stream.ts';
import { comesFrom } from './places.ts';
import type { Endpoint } from '../../model/spec.ts';
import type { Channel, Visitor } from '../../connection/ssh/connection.ts';

/** Words that are sent through a listener, to come out here. */
export interface Test {
  readonly listen: Endpoint;
  readonly port: number;
  /** Where they were sent. */
  readonly place: Endpoint;
  readonly words: string;
  /** They have left. */
  readonly sent: Deferred<void>;
  /** `relayed` where they came from elsewhere than they were sent. */
  readonly seen: Deferred<'ours' | 'relayed'>;
  readonly over: AbortController & { dispose(): void };
  /** They have come. */
  done: boolean;
  /** A visitor was turned away who may have brought them. */
  crowded?: boolean;
}

interface ExamineDeps {
  readonly clock: Clock;
  /** One round trip; null where everybody has to wait until the tests are over. */
  readonly probe: (() => Promise<void>) | null;
}

/**
 * Whether this visitor brings the words of a test: then null, as for one who has left; else the visitor, whose channel is accepted.
 * One who says something else has come for the target. So has one who says nothing: he may wait for the target to speak, and is let
 * go when the tests that run are over; or before, a round trip and a moment after the words have left and he was accepted, when
 * words would have come. Should they come later all the same, on a path that lost a packet, his first bytes show it, and the
 * target never gets them.
 */
export async function examine(
  visitor: Visitor,
  running: readonly Test[],
  late: readonly Test[],
  { clock, probe }: ExamineDeps,
  signal: AbortSignal,
): Promise<Visitor | null> {
  const channel = visitor.accept();
  let gone = false;
  channel.on('error', () => {});
  channel.once('close', () => (gone = true));
  const known = [...running, ...late];
  const length = Math.max(...known.map(({ words }) => words.length));
  const differs = (bytes: Buffer) =>
    !known.some(({ words }) => Buffer.from(words).subarray(0, bytes.length).equals(bytes));
  const isTest = (bytes: Buffer) => {
    const test = known.find(({ words }) => bytes.toString() === words);
    if (test === undefined) return false;
    test.done = true;
    test.seen.resolve(comesFrom(visitor.originator, test.place) ? 'ours' : 'relayed');
    return true;
  };

  const patience = childController(signal);
  const release = () => patience.abort(new Error('waited long enough'));
  for (const { over } of running) over.signal.addEventListener('abort', release, { once: true });
  const wait = async () => {
    if (running.length > 0) {
      if (probe === null) return;
      await Promise.all(running.map(({ sent }) => sent.promise));
      await probe();
    }
    await sleep(clock, MOMENT_MS, patience.signal);
    release();
  };
  wait().catch(() => {});
  const bytes = await peek(channel, length, differs, patience.signal).catch(() => null);
  release();
  patience.dispose();
  for (const { over } of running) over.signal.removeEventListener('abort', release);

  if (bytes !== null && isTest(bytes)) {
    close(channel);
    return null;
  }
  if (gone) return null;
  channel.isTest = isTest;
  return { ...visitor, accept: () => channel, gone: () => gone, reject: () => close(channel) };
}

/** For what words take longer than an answer to a question. */
const MOMENT_MS = 300;

function close(channel: Channel): void {
  channel.resume();
  channel.close();
}
