/** A server's firewall as far as it counts connections: whether it lets in one that begins now, in milliseconds. */
export type LimitModel = (now: number) => boolean;

/**
 * `ufw limit`: `recent --set`, then `recent --update --seconds 30 --hitcount 6 -j REJECT`; a match of `--update` counts as well
 * (xt_recent.c). It remembers the last twenty.
 */
export function ufwLimit(): LimitModel {
  let seen: number[] = [];
  const count = (now: number) => (seen = [...seen, now].slice(-20));
  return (now) => {
    const hits = count(now).filter((time) => time >= now - 30_000).length;
    if (hits < 6) return true;
    count(now);
    return false;
  };
}

/** `hashlimit --hashlimit-above 4/minute --hashlimit-burst 4`: a bucket of four that gets one back every 15 seconds. */
export function hashLimit(perMinute: number, burst: number): LimitModel {
  let credit = burst;
  let last = 0;
  return (now) => {
    credit = Math.min(burst, credit + ((now - last) * perMinute) / 60_000);
    last = now;
    if (credit < 1) return false;
    credit -= 1;
    return true;
  };
}

/** sshd 9.8's PerSourcePenalties with its defaults (srclimit.c): whether what failed now leaves the source as welcome as before. */
export function penalties(): (what: 'rejected' | 'left' | 'dropped', now: number) => boolean {
  const cost = { rejected: 5000, left: 1000, dropped: 10_000 };
  let until = 0;
  return (what, now) => {
    until = Math.max(until, now) + cost[what];
    return until - now < 15_000;
  };
}
