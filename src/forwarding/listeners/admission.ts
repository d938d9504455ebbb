import { sleepUntil } from '../../lib/async/deadline.ts';
import type { Clock } from '../../lib/async/clock.ts';
import { TunnelFailure } from '../../model/failure.ts';
import type { Claim, Holdings } from './holdings.ts';
import { ANOTHERS_HINT, type Answerer } from '../verify/sights.ts';
import { type Endpoint, formatEndpoint } from '../../model/spec.ts';

export interface AdmissionDeps {
  readonly tunnel: string;
  readonly clock: Clock;
  readonly holdings: Holdings;
  /** Calls `listener` when a person has said that listeners be taken; the answer ends that. */
  readonly onTaken: (listener: () => void) => () => void;
  /** Who answers there, without a word of ours, and whether it lives. */
  look(): Promise<Answerer>;
  /** It is not asked for, and why; `elsewhere` where visitors come out at another device. */
  onWaiting(failure: TunnelFailure, elsewhere: boolean): void;
}

/**
 * Waits until a listener may be asked for: at once, but where it leads to another device, which has it until a person says otherwise; and
 * where another machine had it, of which this one may be a copy, only when nobody was seen there for a while.
 */
export async function untilAdmitted(listen: Endpoint, deps: AdmissionDeps, signal: AbortSignal): Promise<void> {
  const { clock, holdings, onWaiting } = deps;
  for (let told: Claim['type'] = 'free'; ;) {
    const claim = holdings.claim(listen);
    if (claim.type === 'free') return;
    if (claim.type !== told) onWaiting(explain(listen, claim, deps.tunnel), claim.type === 'barred');
    told = claim.type;
    if (claim.type === 'barred') {
      await sleepUntil(deps.clock, A_DAY_MS, [deps.onTaken], signal);
      continue;
    }
    const answerer = await deps.look();
    if (answerer.type === 'other') holdings.sighted(listen, answerer);
    if (holdings.claim(listen).type !== 'copied') continue;
    if (clock.now() - holdings.watchedSince(listen, clock.now()) >= SURE_MS) holdings.hold(listen);
    else await sleepUntil(deps.clock, LOOK_EVERY_MS, [deps.onTaken], signal);
  }
}

/** Longer than most outages of the machine that may have it, and short for the one that took its place. */
const SURE_MS = 120_000;
/** Each look may keep a server from noticing that a connection is dead. */
const LOOK_EVERY_MS = 30_000;
const A_DAY_MS = 86_400_000;

function explain(listen: Endpoint, claim: Exclude<Claim, { type: 'free' }>, tunnel: string): TunnelFailure {
  const name = formatEndpoint(listen);
  const take = `tunneld retry ${tunnel} --take`;
  if (claim.type === 'copied') {
    const why = 'a copied card, a restored backup, or a new board or system?';
    return new TunnelFailure(
      'forward-refused',
      `this machine is not the one that had ${name} (${why}): it is taken when nobody else was seen there for ${SURE_MS / 1000} s, or at once with ${take}`,
      { hint: 'Nothing is to be done where this machine takes the place of that one; else choose another port.' },
    );
  }
  const { who, day } = claim.other;
  const whose = claim.copied
    ? `${name} leads to the machine that had it before (${who}, seen on ${day}), of which this one has a copy`
    : `${name} leads to another device (${who}, seen on ${day}), and this tunnel never had it`;
  return new TunnelFailure(
    'forward-refused',
    `${whose}: it is not taken, even when it comes free. Choose another port, or take it with ${take}`,
    { hint: ANOTHERS_HINT },
  );
}
