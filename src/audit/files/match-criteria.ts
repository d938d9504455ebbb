/**
 * Whether a Match block (sshd_config(5)) that may apply to this user depends on the addresses of a login: then the output of `sshd -T` for
 * one login does not hold for others.
 */
export function dependsOnOrigin(criteria: string, user: string): boolean {
  const words = criteria.match(/"[^"]*"|[^\s="]+/g) ?? [];
  let [isOfOrigin, isOfOthers] = [false, false];
  for (const [index, word] of words.entries()) {
    const keyword = word.toLowerCase();
    if (ORIGIN.has(keyword)) isOfOrigin = true;
    if (keyword === 'user' && isAnother(words[index + 1] ?? '', user)) isOfOthers = true;
  }
  return isOfOrigin && !isOfOthers;
}

const ORIGIN: ReadonlySet<string> = new Set(['address', 'host', 'localaddress', 'localport', 'rdomain', 'version']);

/** Only for names without patterns. */
function isAnother(patterns: string, user: string): boolean {
  const names = patterns.replaceAll('"', '').split(',');
  return names.every((name) => !/[*?!]/.test(name) && name !== user);
}
