import { abortable } from '../../lib/async/abort.ts';
import { firstToEnd, waitFor } from '../../lib/async/scope.ts';
import type { Channel } from '../../connection/ssh/connection.ts';
import { discard } from '../../connection/ssh/discard.ts';
import { asFailure } from '../../model/failure.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { identifyListener } from './identify-listener.ts';
import type { Probe } from './probes.ts';
import type { ProbeResult } from './results.ts';
import {
  untilMissing,
  NOT_OPENSSH,
  type VerifyDeps,
  connectToListener,
  resultOfFailure,
} from './connect-to-listener.ts';

/** Sends the nonce of this probe to its address. */
export function sendProbe(probe: Probe, deps: VerifyDeps, signal: AbortSignal): Promise<ProbeResult> {
  return withConnection(probe.address, deps, signal, async (channel) => {
    probe.state = 'sent';
    channel.write(probe.nonce);
    probe.sent.resolve();
    const came = waitFor(probe.result.promise);
    const answer = await firstToEnd<'ours' | 'relayed' | 'missing' | 'slow'>(signal, [
      came,
      (over) => untilMissing(deps, over),
    ]);
    if (answer === 'ours') return { type: 'ours' };
    // Another SSH server may have its listeners elsewhere than on its machine, where another program may have that port.
    if (!deps.connection.serverVersion.startsWith('OpenSSH')) return { type: 'unknown', why: NOT_OPENSSH };
    if (answer === 'slow') return { type: 'unknown', why: TOO_SLOW, passing: true };
    if (answer === 'relayed') return RELAYED;
    const late = await firstToEnd<'ours' | 'relayed' | ProbeResult>(signal, [
      came,
      (over) => abortable(identifyListener(probe.listen, probe.address, channel, false, deps, over), over),
    ]);
    if (late === 'ours') return { type: 'ours' };
    if (late === 'relayed') return RELAYED;
    return probe.crowded ? { type: 'unknown', why: TOO_MANY, passing: true } : late;
  });
}

/** Identifies the program at this address without sending data; `sendEnd` as in Verifier.identify(). */
export function identifyAt(
  listen: Endpoint,
  address: Endpoint,
  sendEnd: boolean,
  deps: VerifyDeps,
  signal: AbortSignal,
): Promise<ProbeResult> {
  return withConnection(address, deps, signal, (channel) =>
    identifyListener(listen, address, channel, sendEnd, deps, signal),
  );
}

/** What `see` finds on a connection to this address; leaves no connection behind. */
async function withConnection(
  address: Endpoint,
  deps: VerifyDeps,
  signal: AbortSignal,
  see: (channel: Channel) => Promise<ProbeResult>,
): Promise<ProbeResult> {
  let channel: Channel | null = null;
  try {
    channel = await connectToListener(address, deps, signal);
    channel.on('error', () => {});
    return await see(channel);
  } catch (error) {
    signal.throwIfAborted();
    return resultOfFailure(asFailure(error), deps.connection.serverVersion);
  } finally {
    if (channel !== null) discard(channel);
  }
}

const TOO_SLOW = 'the server did not answer in time';
const TOO_MANY = 'too many visitors came at once to tell';

const RELAYED: ProbeResult = {
  type: 'other',
  who: 'it relays to this tunnel what it gets, from another address than it was sent to',
  answered: true,
  alive: true,
  hostKey: null,
  own: false,
};
