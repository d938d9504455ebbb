import { abortable, deferred } from '../../lib/async/abort.ts';
import { sleep, type Clock } from '../../lib/async/clock.ts';
import { aborted, firstToEnd, waitFor } from '../../lib/async/scope.ts';
import type { Channel, Visitor } from '../../connection/ssh/connection.ts';
import { discard } from '../../connection/ssh/discard.ts';
import { comesFrom } from './addresses.ts';
import type { Probe } from './probes.ts';

interface InterceptDeps {
  readonly clock: Clock;
  /** One round trip; null where everybody has to wait until the probes are over. */
  readonly roundTrip: (() => Promise<void>) | null;
}

/**
 * Whether this visitor brings the nonce of a probe: then null, as for one who has left; else the visitor, whose channel is accepted.
 * One who says something else has come for the target. So has one who says nothing: he may wait for the target to speak, and is let
 * go when the probes that run are over; or before, a round trip and a moment after they have left and he was accepted, when the nonce
 * would have come. Should it come later all the same, on a path that lost a packet, his channel is closed, and the target never gets it.
 */
export async function intercept(
  visitor: Visitor,
  { running, late }: { readonly running: readonly Probe[]; readonly late: readonly Probe[] },
  { clock, roundTrip }: InterceptDeps,
  signal: AbortSignal,
): Promise<Visitor | null> {
  const channel = visitor.accept();
  let gone = false;
  channel.on('error', () => {});
  channel.once('close', () => (gone = true));
  const filter = filterNonce(channel, [...running, ...late], visitor.originator);
  const longEnough = async (over: AbortSignal): Promise<void> => {
    if (running.length > 0) {
      if (roundTrip === null) return await aborted(over);
      await abortable(Promise.all(running.map(({ sent }) => sent.promise)), over);
      await abortable(roundTrip(), over);
    }
    await sleep(clock, MOMENT_MS, over);
  };
  const over = running.map((probe) => waitFor(probe.over.promise));
  try {
    await firstToEnd<unknown>(signal, [waitFor(filter.decided), longEnough, ...over]);
  } catch {
    // The connection is gone, or the session: those who serve learn that too.
  }
  if (filter.letGo() || gone) return null;
  return { ...visitor, accept: () => channel, hasLeft: () => gone, reject: () => discard(channel) };
}

/** For what a nonce takes longer than an answer to a question. */
const MOMENT_MS = 300;

interface Filter {
  /** Resolves when the first bytes tell whether they are a nonce, or can no more. */
  readonly decided: Promise<void>;
  /** Puts back what was read, for the one who reads the channel next. True where it was a nonce: then the channel is closed. */
  letGo(): boolean;
}

/** Reads the first bytes of a channel until they tell whether they are the nonce of one of these probes. */
function filterNonce(channel: Channel, probes: readonly Probe[], originator: string): Filter {
  const decided = deferred<void>();
  const longest = Math.max(...probes.map(({ nonce }) => nonce.length));
  let seen: Buffer = Buffer.alloc(0);
  let isProbe = false;
  const isNonce = (bytes: Buffer): boolean => {
    const probe = probes.find(({ nonce }) => nonce.equals(bytes));
    if (probe === undefined) return false;
    probe.state = 'arrived';
    probe.result.resolve(comesFrom(originator, probe.address) ? 'ours' : 'relayed');
    return true;
  };
  const read = () => {
    // Never with a plain read(): with the last bytes it would take the end of the stream from its next owner.
    while (seen.length < longest && channel.readableLength > 0) {
      const piece = channel.read(Math.min(channel.readableLength, longest - seen.length)) as Buffer | null;
      if (piece === null) break;
      seen = Buffer.concat([seen, piece]);
    }
    isProbe = isNonce(seen);
    if (isProbe || !probes.some(({ nonce }) => nonce.subarray(0, seen.length).equals(seen))) decided.resolve();
    // Asks for more.
    else channel.read(0);
  };
  const onEnd = () => decided.resolve();
  channel.on('readable', read).once('end', onEnd).once('close', onEnd).once('error', onEnd);
  if (channel.readableEnded || channel.destroyed) onEnd();
  else read();
  return {
    decided: decided.promise,
    letGo: () => {
      // Of what has just come no event may have told yet.
      if (!channel.readableEnded && !channel.destroyed) read();
      channel.off('readable', read).off('end', onEnd).off('close', onEnd).off('error', onEnd);
      if (isProbe) discard(channel);
      else if (seen.length === 0) onFirstBytes(channel, (bytes) => isNonce(bytes));
      else if (!channel.readableEnded && !channel.destroyed) channel.unshift(seen);
      return isProbe;
    },
  };
}

/** Closes the channel when the first bytes that come are not for the one who reads it. */
function onFirstBytes(channel: Channel, areTaken: (bytes: Buffer) => boolean): void {
  const push = channel.push.bind(channel);
  channel.push = (chunk: Buffer | null, ...more) => {
    channel.push = push;
    if (chunk === null || !areTaken(chunk)) return push(chunk, ...more);
    discard(channel);
    return true;
  };
}
