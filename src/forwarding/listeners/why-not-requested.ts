import { TunnelFailure } from '../../model/failure.ts';
import { type Endpoint, formatEndpoint } from '../../model/endpoint.ts';
import { ANOTHERS_HINT } from '../verify/results.ts';
import type { Ownership } from './owners.ts';

/** Why a listener is not requested. One that another machine had, of which this may be a copy, must be unused for `unusedForMs` first. */
export function whyNotRequested(
  listen: Endpoint,
  ownership: Exclude<Ownership, { type: 'free' }>,
  tunnel: string,
  unusedForMs: number,
): TunnelFailure {
  const name = formatEndpoint(listen);
  const take = `tunneld retry ${tunnel} --take`;
  if (ownership.type === 'copied') {
    const why = 'a copied card, a restored backup, or a new board or system?';
    return new TunnelFailure(
      'forward-refused',
      `this machine is not the one that had ${name} (${why}): it is taken when no other machine was seen there for ${unusedForMs / 1000} s, or at once with ${take}`,
      { hint: 'Wait, where this machine replaces that one; else choose another port.' },
    );
  }
  const { who, day } = ownership.other;
  const whose = ownership.copied
    ? `${name} leads to the machine that had it before (${who}, seen on ${day}), of which this one has a copy`
    : `${name} leads to another device (${who}, seen on ${day}), and this tunnel never had it`;
  return new TunnelFailure(
    'forward-refused',
    `${whose}: it is not taken, even when it comes free. Choose another port, or take it with ${take}`,
    { hint: ANOTHERS_HINT },
  );
}
