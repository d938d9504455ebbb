/** The end of a sentence about a key that does not exist: what its writer probably meant. Never repeats the value. */
export function unknownKey(key: string, known: readonly string[]): string {
  const advice = ADVICE.get(plain(key));
  if (advice !== undefined && (advice.key === null || known.includes(advice.key)))
    return `is not a known key; ${advice.text}`;
  const nearest = nearestKey(key, known);
  return nearest === null ? 'is not a known key' : `is not a known key; did you mean ${nearest}?`;
}

/** What people write where a look at the letters does not help; `key` is what must be known there for the advice to be good. */
const ADVICE: ReadonlyMap<string, { key: string | null; text: string }> = new Map([
  ['hostname', { key: 'host', text: 'the name of the server is called host' }],
  ['username', { key: 'user', text: 'the name on the server is called user' }],
  ['password', { key: 'passwordFile', text: secretAdvice('password', 'passwordFile') }],
  ['passphrase', { key: 'passphraseFile', text: secretAdvice('passphrase', 'passphraseFile') }],
  ['<<', { key: null, text: 'merge keys are not read: what tunnels share stands under defaults' }],
]);

function secretAdvice(secret: string, key: string): string {
  return `a ${secret} has no place in this file: put it into a file of mode 0600 and name that with ${key}`;
}

/** The known key with the fewest wrong letters, or null where none is near. ssh_config's capitals are no difference. */
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

/** No key is longer; it bounds the work on somebody's paste. */
const MAX_KEY_LENGTH = 64;

/** `Server_Alive-Interval` and `serverAliveInterval` are the same to a person. */
function plain(key: string): string {
  return key.toLowerCase().replaceAll(/[-_]/g, '');
}

/** Two swapped letters cost 2, so that `prot` finds `port`. */
function allowedDistance(length: number): number {
  if (length < 4) return 1;
  return length < 10 ? 2 : 3;
}

/** How many letters must be inserted, removed or replaced to turn one word into the other. */
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
