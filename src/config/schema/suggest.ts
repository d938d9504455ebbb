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
  let best: string | null = null;
  let bestDistance = allowedDistance(wanted.length) + 1;
  for (const candidate of known) {
    const distance = levenshtein(wanted, plain(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Longer than any key; it bounds the work on pasted text. */
const MAX_KEY_LENGTH = 64;

/** Treats `Server_Alive-Interval` and `serverAliveInterval` alike. */
function plain(key: string): string {
  return key.toLowerCase().replaceAll(/[-_]/g, '');
}

/** Two swapped letters cost 2, so that `prot` finds `port`. */
function allowedDistance(length: number): number {
  if (length < 4) return 1;
  return length < 10 ? 2 : 3;
}

/** The Levenshtein distance: insertions, removals and replacements that turn one word into the other. */
function levenshtein(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let i = 0; i < from.length; i += 1) {
    const next = [i + 1];
    for (let j = 0; j < to.length; j += 1) {
      const replaced = (row[j] ?? 0) + (from[i] === to[j] ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
