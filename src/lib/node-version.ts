/** The message for a Node.js that is too old; null for one that is not. */
export function tooOld(version: string): string | null {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) return null;
  return (
    `tunneld needs Node.js ${NEEDED.join('.')} or later, but this is ${version}: install a newer one ` +
    '(Debian 13 has it as `nodejs`; for others see https://nodejs.org/en/download)'
  );
}

/** `engines` of package.json says the same. */
const NEEDED = [20, 19] as const;
