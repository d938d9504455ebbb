import type { FleetDevice, FleetHostKey } from './document.ts';
import type { FleetFacts } from './facts.ts';

/**
 * Pure: the host keys of a server, and the users to whose devices sshd has not announced each. sshd announces its keys at a login only
 * (hostkeys-00@openssh.com in OpenSSH's PROTOCOL), and offers a new one from the first time on that it reads its files after the key was
 * made: a device that logged in before that, or was last seen before, does not know it, unless it has pinned it as the spare one. A server
 * cannot see that, nor whether a device that was told has kept the key.
 */
export function hostKeysOf(
  { hostKeys, listeningMs, logBeginsMs, madeMs: setUpMs }: FleetFacts,
  devices: readonly FleetDevice[],
): readonly FleetHostKey[] {
  return hostKeys.map(({ type, fingerprint, madeMs, isSpare }) => {
    const offeredMs = listeningMs.find((ms) => ms >= madeMs) ?? null;
    // What was made before the log begins was offered before, too: the log would have the reload.
    const isOld = logBeginsMs !== null && madeMs < logBeginsMs;
    const fromMs = isOld ? madeMs : offeredMs;
    const missed = devices.filter((device) => {
      const lastMs = lastLogin(device);
      // What was set up when the key was there heard of it at its first login.
      if (lastMs === null) return isExpected(device) && (setUpMs.get(device.user) ?? Number.POSITIVE_INFINITY) < madeMs;
      return isExpected(device) && lastMs < (fromMs ?? Number.POSITIVE_INFINITY);
    });
    return {
      type,
      fingerprint,
      ...(fromMs === null ? {} : { offeredSince: new Date(fromMs).toISOString() }),
      ...(isSpare ? { spare: true as const } : {}),
      notAnnouncedTo: [...new Set(missed.map(({ user }) => user))],
    };
  });
}

/** A device that never came has nothing to learn anew. */
function isExpected({ state }: FleetDevice): boolean {
  return state !== 'never' && state !== 'unusable';
}

function lastLogin({ since, lastSeen }: FleetDevice): number | null {
  const last = since ?? lastSeen;
  return last === undefined ? null : Date.parse(last);
}
