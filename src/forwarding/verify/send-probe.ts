import { abortable } from '../../lib/async/abort.ts';
import { firstToEnd, waitFor } from '../../lib/async/scope.ts';
import type { Channel } from '../../connection/ssh/connection.ts';
import { discard } from '../../connection/ssh/discard.ts';
import { asFailure } from '../../model/failure.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { type IdentifyDeps, identifyListener } from './identify-listener.ts';
import type { Probe } from './probes.ts';
import type { ProbeResult } from './results.ts';
import {
  untilMissing,
  NOT_OPENSSH,
  type VerifiedConnection,
  connectToListener,
  resultOfFailure,
} from './connect-to-listener.ts';

export interface ProbeDeps extends IdentifyDeps {
  readonly connection: VerifiedConnection;
}

/** Sends the nonce of this probe to its address. */
export function sendProbe(probe: Probe, deps: ProbeDeps, signal: AbortSignal): Promise<ProbeResult> {
  const { connection, clock } = deps;
  return withConnection(probe.address, deps, signal, async (channel) => {
    probe.state = 'sent';
    channel.write(probe.nonce);
    probe.sent.resolve();
    const came = waitFor(probe.result.promise);
    const answer = await firstToEnd<'ours' | 'relayed' | 'missing' | 'slow'>(signal, [
      came,
      (over) => untilMissing(connection, clock, over),
    ]);
    if (answer === 'ours') return { type: 'ours' };
    // Another SSH server may have its listeners elsewhere than on its machine, where another program may have that port.
    if (!connection.serverVersion.startsWith('OpenSSH')) return { type: 'unknown', why: NOT_OPENSSH };
    if (answer === 'slow') return { type: 'unknown', why: TOO_SLOW, passing: true };
    if (answer === 'relayed') return RELAYED;
    const late = await firstToEnd<'ours' | 'relayed' | ProbeResult>(signal, [
      came,
      (over) => abortable(identify(probe.listen, probe.address, channel, false, deps, over), over),
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
  deps: ProbeDeps,
  signal: AbortSignal,
): Promise<ProbeResult> {
  return withConnection(address, deps, signal, (channel) => identify(listen, address, channel, sendEnd, deps, signal));
}

/** What `see` finds on a connection to this address; leaves no connection behind. */
async function withConnection(
  address: Endpoint,
  { connection, clock }: ProbeDeps,
  signal: AbortSignal,
  see: (channel: Channel) => Promise<ProbeResult>,
): Promise<ProbeResult> {
  let channel: Channel | null = null;
  try {
    channel = await connectToListener(connection, address, clock, signal);
    channel.on('error', () => {});
    return await see(channel);
  } catch (error) {
    signal.throwIfAborted();
    return resultOfFailure(asFailure(error), connection.serverVersion);
  } finally {
    if (channel !== null) discard(channel);
  }
}

function identify(
  listen: Endpoint,
  address: Endpoint,
  channel: Channel,
  sendEnd: boolean,
  deps: ProbeDeps,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const again = () => connectToListener(deps.connection, address, deps.clock, signal);
  return identifyListener({ listen, channel, again, sendEnd }, deps, signal);
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
