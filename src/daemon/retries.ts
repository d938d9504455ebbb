import { isMeant } from '../model/redundancy.ts';
import { RequestError } from '../control/server.ts';
import type { Clock } from '../lib/async/clock.ts';
import type { Supervisor } from '../supervisor/supervisor.ts';

/** Ends waits on request, but not more often than servers bear: sshd and others ban addresses whose logins fail many times in a row. */
export interface Retries {
  /** As Supervisor.retry(), for those tunnels for which it is not too soon. */
  retry(name: string | null): readonly string[];
  /** The same by request of a person; throws a RequestError where it is too soon for all that wait. */
  retryAsked(name: string | null): readonly string[];
}

export function createRetries(clock: Clock, supervisor: Pick<Supervisor, 'retry' | 'tunnels'>): Retries {
  /** When each of the last tries of a tunnel was. */
  const tries = new Map<string, readonly number[]>();

  const tryEach = (name: string | null) => {
    const tunnels = supervisor.tunnels();
    for (const known of tries.keys()) if (!tunnels.some(({ spec }) => spec.name === known)) tries.delete(known);
    const tried: string[] = [];
    const tooSoon: number[] = [];
    for (const { spec, state, standby } of tunnels) {
      const one = spec.name;
      if (!isMeant(one, name) || state.phase === 'up' || standby === true) continue;
      const recent = (tries.get(one) ?? []).filter((at) => at > clock.now() - PER_MS);
      if (recent.length >= MOST) tooSoon.push(recent[0]! + PER_MS - clock.now());
      else if (supervisor.retry(one).length > 0) {
        tries.set(one, [...recent, clock.now()]);
        tried.push(one);
      }
    }
    return { tried, tooSoon };
  };
  return {
    retry: (name) => tryEach(name).tried,
    retryAsked: (name) => {
      const { tried, tooSoon } = tryEach(name);
      if (tried.length > 0 || tooSoon.length === 0) return tried;
      const seconds = Math.ceil(Math.min(...tooSoon) / 1000);
      throw new RequestError(
        'not-now',
        `${MOST} tries were made just now, and servers ban addresses that try more often: try again in ${seconds} s`,
      );
    },
  };
}

/** OpenSSH's PerSourcePenalties adds 5 s for a failed login, and acts from 15 s on (sshd_config(5)): this never adds up to that. */
const MOST = 2;
const PER_MS = 40_000;
