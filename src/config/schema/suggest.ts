import { closestMatch } from 'leven';

/** The message for an unknown key, with the key that was probably meant. It never contains the value. */
export function unknownKey(key: string, known: readonly string[]): string {
  const advice = ADVICE.get(plain(key));
  if (advice !== undefined && (advice.key === null || known.includes(advice.key)))
    return `is not a known key; ${advice.text}`;
  const nearest = nearestKey(key, known);
  return nearest === null ? 'is not a known key' : `is not a known key; did you mean ${nearest}?`;
}

/** Advice where the spelling does not help. `key` has to be known at that place for the advice to be right. */
const ADVICE: ReadonlyMap<string, { key: string | null; text: string }> = new Map([
  ['hostname', { key: 'host', text: 'the server is set with host' }],
  ['username', { key: 'user', text: 'the user on the server is set with user' }],
  ['password', { key: 'passwordFile', text: secretAdvice('password', 'passwordFile') }],
  ['passphrase', { key: 'passphraseFile', text: secretAdvice('passphrase', 'passphraseFile') }],
  ['<<', { key: null, text: 'merge keys are not supported: write shared keys below defaults' }],
]);

function secretAdvice(secret: string, key: string): string {
  return `a ${secret} must not be in this file: put it into a file with mode 0600, and name that file with ${key}`;
}

/** The most similar known key; null where none is similar. Case is ignored. */
function nearestKey(key: string, known: readonly string[]): string | null {
  if (key.length > MAX_KEY_LENGTH) return null;
  const wanted = plain(key);
  const nearest = closestMatch(wanted, known.map(plain), { maxDistance: allowedDistance(wanted.length) });
  return known.find((candidate) => plain(candidate) === nearest) ?? null;
}

/** Longer than any key; it bounds the work on pasted text. */
const MAX_KEY_LENGTH = 64;

/** Treats `Server_Alive-Interval` and `serverAliveInterval` alike. */
function plain(key: string): string {
  return key.toLowerCase().replaceAll(/[-_]/g, '');
}

/** A Levenshtein distance, in which two swapped letters cost 2, so that `prot` finds `port`. */
function allowedDistance(length: number): number {
  if (length < 4) return 1;
  return length < 10 ? 2 : 3;
}
