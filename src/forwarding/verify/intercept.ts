import { abortable, deferred } from '../../lib/async/abort.ts';
import { sleep, type Clock } from '../../lib/async/clock.ts';
import { aborted, firstToEnd, waitFor } from '../../lib/async/scope.ts';
import type { Channel, Visitor } from '../../connection/ssh/connection.ts';
import { discard } from '../../connection/ssh/discard.ts';
import { readUpTo } from '../../net/streams/peek-stream.ts';
import { comesFrom } from './addresses.ts';
import type { Probe } from './probes.ts';

/**
 * Null where the visitor carries the nonce of a probe, or has left; else the visitor, with its channel accepted. A visitor that sends
 * other bytes is the target's. So is one that sends nothing, because it may wait for the target to speak: it is released when the
 * running probes are over, or earlier, a round trip and a moment after they were sent and the channel was accepted, when the nonce would
 * have arrived. Where the nonce arrives later all the same, after a lost packet, the channel is closed and the target never gets it.
 * `roundTrip` is null where every visitor has to wait until the probes are over.
 */
export async function intercept(
  visitor: Visitor,
  { running, late }: { readonly running: readonly Probe[]; readonly late: readonly Probe[] },
  clock: Clock,
  roundTrip: (() => Promise<void>) | null,
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
    // The session is over: the handler of the visitor notices that too.
  }
  if (filter.letGo() || gone) return null;
  return { ...visitor, accept: () => channel, hasLeft: () => gone, reject: () => discard(channel) };
}

/** A nonce may take so much longer than the answer to a global request. */
const MOMENT_MS = 300;

/** Reads the first bytes of a channel until they are known to be the nonce of one of these probes or not. */
function filterNonce(channel: Channel, probes: readonly Probe[], originator: string) {
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
    seen = readUpTo(channel, seen, longest);
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
    /** Resolves when the first bytes are known to be a nonce or not, or when no more will come. */
    decided: decided.promise,
    /** Puts back what was read, for the next reader of the channel. True where it was a nonce: then the channel is closed. */
    letGo: () => {
      // The event of bytes that have just arrived may not have fired yet.
      if (!channel.readableEnded && !channel.destroyed) read();
      channel.off('readable', read).off('end', onEnd).off('close', onEnd).off('error', onEnd);
      if (isProbe) discard(channel);
      else if (seen.length === 0) onFirstBytes(channel, (bytes) => isNonce(bytes));
      else if (!channel.readableEnded && !channel.destroyed) channel.unshift(seen);
      return isProbe;
    },
  };
}

/** Closes the channel when the first bytes that arrive are not for its reader. */
function onFirstBytes(channel: Channel, areTaken: (bytes: Buffer) => boolean): void {
  const push = channel.push.bind(channel);
  const pushOnce: typeof push = (chunk: Buffer | null, ...more) => {
    channel.push = push;
    if (chunk === null || !areTaken(chunk)) return push(chunk, ...more);
    discard(channel);
    return true;
  };
  channel.push = pushOnce;
}
