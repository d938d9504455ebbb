/**
 * The secrets that this process has read from files. A peer may send a secret back, in an error, a banner or a prompt;
 * so text from outside is searched for them before it is shown. This is a safety net below the rule that no secret is
 * printed in the first place, which is why it alone is shared by the whole process.
 */
const secrets: string[] = [];
let longestFirst: readonly string[] | null = null;

/** From now on masks this secret, and the forms in which it is sent (RFC 7617: `user:password` in base64). */
export function registerSecret(secret: string, user: string | null = null): void {
  for (const form of [secret, ...(user === null ? [] : [base64(`${user}:${secret}`)]), base64(secret)]) {
    if (form.length < SHORTEST || secrets.includes(form)) continue;
    secrets.push(form);
    if (secrets.length > MOST) secrets.shift();
    longestFirst = null;
  }
}

/** Replaces every known secret in the text, also one that the end of the text cuts off. */
export function maskSecrets(text: string): string {
  let masked = text;
  longestFirst ??= secrets.toSorted((a, b) => b.length - a.length);
  for (const secret of longestFirst) {
    masked = masked.replaceAll(secret, MASK);
    const cut = cutAtEnd(masked, secret);
    if (cut > 0) masked = `${masked.slice(0, -cut)}${MASK}`;
  }
  return masked;
}

const MASK = '***';

/** A shorter secret would mask parts of ordinary words. */
const SHORTEST = 4;

/** A secret that is replaced in its file stays masked, but not for ever. Room for some hundred tunnels with a password each. */
const MOST = 1000;

/** How many characters at the end of the text may begin the secret; 0 for too few to tell. */
function cutAtEnd(text: string, secret: string): number {
  if (!secret.includes(text.slice(-SHORTEST))) return 0; // the usual case, at once
  for (let length = Math.min(secret.length - 1, text.length); length >= SHORTEST; length--) {
    if (text.endsWith(secret.slice(0, length))) return length;
  }
  return 0;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
