import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../lib/async/clock.ts';
import { putNewest } from '../lib/maps.ts';

/** Keys of links that let one browser in, once. */
export interface Links {
  /** A new key, which is good for LINK_MS. */
  create(): string;
  /** Whether the key is good; from then on it is not. */
  redeem(key: string): boolean;
}

export function createLinks(clock: Clock): Links {
  /** By the hash of the key, so that the time of a look-up reveals nothing of it; the oldest first. */
  const open = new Map<string, number>();
  return {
    create: () => {
      const key = randomBytes(32).toString('base64url');
      putNewest(open, hash(key), clock.now() + LINK_MS, MAX_OPEN);
      return key;
    },
    redeem: (key) => {
      const until = open.get(hash(key));
      open.delete(hash(key));
      return until !== undefined && clock.now() < until;
    },
  };
}

/** Ten minutes: to copy a link from a terminal to a phone. */
const LINK_MS = 600_000;
const MAX_OPEN = 16;

function hash(key: string): string {
  return createHash('sha256').update(key).digest('base64');
}
