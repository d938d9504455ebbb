import { formatAge } from '../../lib/text.ts';
import { FAILURES } from '../../model/failure.ts';
import type { ForwardStatus, TunnelStatus } from '../../status/document.ts';

/** How a tunnel is now, the worst first. */
const CONDITIONS = ['blocked', 'down', 'silent', 'starting', 'degraded', 'unverified', 'well'] as const;

export type Condition = (typeof CONDITIONS)[number];

/** `starting` has not been up yet and has not failed; `silent` is up, and does not answer; `unverified` is up and no more is known. */
export function conditionOf(tunnel: TunnelStatus): Condition {
  const { phase, health, silentSince, forwards, servers } = tunnel;
  if (servers?.standby === true) return 'well';
  if (phase !== 'up') return conditionOfDown(tunnel);
  if (silentSince !== undefined) return 'silent';
  if (health !== 'ok') return 'degraded';
  return forwards.some((forward) => forward.exposed === true || isUnverified(forward)) ? 'unverified' : 'well';
}

function conditionOfDown({ phase, health, failure, previous = [], servers }: TunnelStatus): Condition {
  if (servers?.elsewhere !== undefined) return 'degraded';
  if (phase === 'blocked') return 'blocked';
  if (health === 'ok' && failure === undefined) return 'starting';
  return previous.some((old) => old.phase === 'up') ? 'degraded' : 'down';
}

/** Whether a round trip through this listener of the server was not seen, though it was looked for. */
function isUnverified({ kind, state, verified }: ForwardStatus): boolean {
  return kind === 'remote' && state === 'up' && verified !== 'yes';
}

/** The worst first; of those that are down, the one that has been so for longest. */
export function worstFirst(tunnels: readonly TunnelStatus[]): readonly TunnelStatus[] {
  const rank = (tunnel: TunnelStatus) => CONDITIONS.indexOf(conditionOf(tunnel));
  const since = (tunnel: TunnelStatus) => (tunnel.phase === 'up' ? 0 : Date.parse(downSince(tunnel)));
  return tunnels.toSorted((a, b) => rank(a) - rank(b) || since(a) - since(b));
}

/** Since when it is not up, whatever it has tried meanwhile; a daemon of an older version knows only of the last try. */
export function downSince(tunnel: TunnelStatus): string {
  return tunnel.downSince ?? tunnel.since;
}

/** All tunnels in a few words: those of the worst condition, how many they are, for how long, and why. */
export function summarize(all: readonly TunnelStatus[], now: number): { readonly text: string; worst: Condition } {
  const tunnels = all.filter(({ servers }) => servers?.standby !== true);
  const [first] = worstFirst(tunnels);
  const worst = first === undefined ? 'well' : conditionOf(first);
  // What is blocked is down as well.
  const like = worst === 'blocked' ? ['blocked', 'down'] : [worst];
  const count = tunnels.filter((tunnel) => like.includes(conditionOf(tunnel))).length;
  if (first === undefined || worst === 'well') return { text: `${tunnels.length} of ${tunnels.length} up`, worst };
  const text =
    worst === 'unverified'
      ? `${tunnels.length} of ${tunnels.length} up, ${count} unverified`
      : `${count} of ${tunnels.length} ${describe(first, worst, now)}`;
  return { text, worst };
}

function describe(tunnel: TunnelStatus, condition: Condition, now: number): string {
  const cause = causeOf(tunnel);
  const why = cause === null ? '' : `: ${cause}`;
  switch (condition) {
    case 'blocked':
      return `down for ${formatAge(downSince(tunnel), now)}, and needs you${why}`;
    case 'down':
      return `down for ${formatAge(downSince(tunnel), now)}${why}`;
    case 'silent':
      return `without an answer for ${formatAge(tunnel.silentSince ?? tunnel.since, now)}`;
    case 'starting':
      return 'connecting';
    case 'degraded':
      return `degraded${why}`;
    case 'unverified':
    case 'well':
      return 'up';
  }
}

/** Why it is not well, in the words of the table of failures. */
function causeOf(tunnel: TunnelStatus): string | null {
  const { phase, forwards } = tunnel;
  const [target] = forwards.flatMap(({ targetFailure }) => (targetFailure === undefined ? [] : [targetFailure]));
  const cause = phase === 'up' ? target : presentFailure(tunnel);
  if (cause !== undefined) return Object.hasOwn(FAILURES, cause.code) ? FAILURES[cause.code].title : cause.code;
  if (phase !== 'up') return null;
  return forwards.some(({ state }) => state !== 'up')
    ? FAILURES['forward-refused'].title
    : 'a listener is not known to lead here';
}

/** The last failure, unless it was overcome before this outage. */
function presentFailure(tunnel: TunnelStatus): TunnelStatus['failure'] {
  const { failure } = tunnel;
  if (failure === undefined) return undefined;
  // A listener is refused a moment before its tunnel is called down.
  return Date.parse(failure.at) >= Date.parse(downSince(tunnel)) - 1000 ? failure : undefined;
}
