/**
 * Whether a Match block (sshd_config(5)) that may be about this user holds for logins from, or at, some addresses alone: what `sshd -T`
 * says for one login then says nothing of others.
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

/** Only where names are written out. */
function isAnother(patterns: string, user: string): boolean {
  const names = patterns.replaceAll('"', '').split(',');
  return names.every((name) => !/[*?!]/.test(name) && name !== user);
}
