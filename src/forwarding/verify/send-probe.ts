import { abortable } from '../../lib/async/abort.ts';
import { firstToEnd, waitFor } from '../../lib/async/scope.ts';
import type { Channel } from '../../connection/ssh/connection.ts';
import { discard } from '../../connection/ssh/discard.ts';
import { asFailure } from '../../model/failure.ts';
import type { Endpoint } from '../../model/spec.ts';
import { type IdentifyDeps, identifyListener } from './identify-listener.ts';
import type { Probe } from './probes.ts';
import type { Sight } from './sights.ts';
import { nobodyCame, NOT_OPENSSH, type VerifiedConnection, visitPlace, withoutAnswer } from './visit-place.ts';

export interface VisitDeps extends IdentifyDeps {
  readonly connection: VerifiedConnection;
}

/** Sends the nonce of this probe to its place, and says what came of it. */
export function sendProbe(probe: Probe, deps: VisitDeps, signal: AbortSignal): Promise<Sight> {
  const { connection, clock } = deps;
  return visiting(probe.place, deps, signal, async (channel) => {
    probe.state = 'sent';
    channel.write(probe.nonce);
    probe.sent.resolve();
    const came = waitFor(probe.result.promise);
    const answer = await firstToEnd<'ours' | 'relayed' | 'nobody' | 'slow'>(signal, [
      came,
      (over) => nobodyCame(connection, clock, over),
    ]);
    if (answer === 'ours') return { type: 'ours' };
    // Others give their listeners out in ways of their own, and may have something else on that port of their machine.
    if (!connection.serverVersion.startsWith('OpenSSH')) return { type: 'unknown', why: NOT_OPENSSH };
    if (answer === 'slow') return { type: 'unknown', why: TOO_SLOW, passing: true };
    if (answer === 'relayed') return RELAYED;
    const late = await firstToEnd<'ours' | 'relayed' | Sight>(signal, [
      came,
      (over) => abortable(identify(probe.listen, probe.place, channel, false, deps, over), over),
    ]);
    if (late === 'ours') return { type: 'ours' };
    if (late === 'relayed') return RELAYED;
    return probe.crowded ? { type: 'unknown', why: TOO_MANY, passing: true } : late;
  });
}

/** Who answers first at this place, to whom nothing is sent; `pulse` has our end of the connection told. */
export function identifyAt(
  listen: Endpoint,
  place: Endpoint,
  pulse: boolean,
  deps: VisitDeps,
  signal: AbortSignal,
): Promise<Sight> {
  return visiting(place, deps, signal, (channel) => identify(listen, place, channel, pulse, deps, signal));
}

/** What is seen at a place during a visit; leaves no connection behind. */
async function visiting(
  place: Endpoint,
  { connection, clock }: VisitDeps,
  signal: AbortSignal,
  see: (channel: Channel) => Promise<Sight>,
): Promise<Sight> {
  let channel: Channel | null = null;
  try {
    channel = await visitPlace(connection, place, clock, signal);
    channel.on('error', () => {});
    return await see(channel);
  } catch (error) {
    signal.throwIfAborted();
    return withoutAnswer(asFailure(error), connection.serverVersion);
  } finally {
    if (channel !== null) discard(channel);
  }
}

function identify(
  listen: Endpoint,
  place: Endpoint,
  channel: Channel,
  pulse: boolean,
  deps: VisitDeps,
  signal: AbortSignal,
): Promise<Sight> {
  const again = () => visitPlace(deps.connection, place, deps.clock, signal);
  return identifyListener({ listen, channel, again, pulse }, deps, signal);
}

const TOO_SLOW = 'the server did not answer in time';
const TOO_MANY = 'too many visitors came at once to tell';

const RELAYED: Sight = {
  type: 'other',
  who: 'it passes on to this tunnel what it gets, from another address than it was sent to',
  answered: true,
  alive: true,
  hostKey: null,
  own: false,
};
