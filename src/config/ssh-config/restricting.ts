/** Whether an option takes something away: what is connected to, accepted, offered or let through (ssh_config(5)). */
export function restricts(key: string, args: readonly string[]): boolean {
  const word = args[0]?.toLowerCase() ?? '';
  if (WITH_NO.includes(key)) return word === 'no' || word === 'false';
  if (WITH_YES.includes(key)) return ['yes', 'true', 'ask'].includes(word);
  return WITH_ANY_VALUE.includes(key) && !(NEUTRAL.get(key) ?? ['none']).includes(word);
}

const WITH_NO = [
  'gatewayports',
  'kbdinteractiveauthentication',
  'passwordauthentication',
  'pubkeyauthentication',
  'updatehostkeys',
];
const WITH_YES = ['checkhostip', 'clearallforwardings', 'identitiesonly', 'stricthostkeychecking'];
const WITH_ANY_VALUE = [
  'addressfamily',
  'bindaddress',
  'bindinterface',
  'channeltimeout',
  'ciphers',
  'hostkeyalgorithms',
  'kexalgorithms',
  'knownhostscommand',
  'macs',
  'numberofpasswordprompts',
  'permitremoteopen',
  'preferredauthentications',
  'pubkeyacceptedalgorithms',
  'refuseconnection',
  'rekeylimit',
  'requiredrsasize',
  'revokedhostkeys',
  'streamlocalbindmask',
];

/** The values of these that restrict nothing. */
const NEUTRAL: ReadonlyMap<string, readonly string[]> = new Map([
  ['addressfamily', ['any']],
  ['permitremoteopen', ['any']],
  ['rekeylimit', ['none', 'default']],
]);
