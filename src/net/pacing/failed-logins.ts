import type { PaceRequest, Pace } from './types.ts';
import { inWindow } from './window.ts';

/**
 * When a login may begin so that the failed logins of the process, over all its tunnels, stay below what fail2ban and
 * sshd's penalties tolerate. A tunnel whose login fails again and again gets only its share, so that it does not shut
 * out the others.
 */
export function loginAt(
  pace: Pick<Pace, 'rejected' | 'lastRejected' | 'pending' | 'established'>,
  { loginHistory, urgent }: Pick<PaceRequest, 'loginHistory' | 'urgent'>,
  now: number,
): number {
  const recent = inWindow(pace.rejected, FAIL2BAN_MS, now);
  const most = urgent && loginHistory === 'rejected' ? SHARES.new : SHARES[loginHistory];
  if (recent.length >= most) return recent[recent.length - most]! + FAIL2BAN_MS;
  // Each login under way may fail too, as long as none has succeeded.
  const doubtful = loginHistory !== 'proven' || pace.lastRejected !== null || pace.established === 0;
  if (doubtful && recent.length + pace.pending >= most) return Number.POSITIVE_INFINITY;
  // Two failures in a row point beyond one tunnel: the server may not be ready for any login. A tunnel that worked does
  // not wait for the failures of tunnels that never did.
  const concerns = loginHistory === 'proven' ? pace.lastRejected === 'proven' : pace.lastRejected !== null;
  if (!concerns || recent.length < 2 || urgent) return now;
  return recent.at(-1)! + (recent.length === 2 ? PAUSE_MS : LONG_PAUSE_MS);
}

/** fail2ban's findtime of ten minutes; it bans at the fifth. */
export const FAIL2BAN_MS = 601_000;
/**
 * How many logins may have failed before one of this history is tried: the last below a ban is for a tunnel that
 * worked.
 */
const SHARES = { proven: 4, new: 3, rejected: 2 };

const PAUSE_MS = 20_000;
const LONG_PAUSE_MS = 60_000;
