import { splitList } from '../values/algorithm-list.ts';
import { ALGORITHMS, type AlgorithmKey } from '../values/algorithms.ts';
import type { Findings } from '../input/findings.ts';
import type { SshOption } from './option.ts';
import { locationOf } from './option.ts';

/**
 * A list of algorithms for ssh without the names that only OpenSSH knows, so that the others on the list can be used. A list of such
 * names only stays as it is, and is rejected later. Undefined where a modifier is left without names.
 */
export function openSshList({ key, args, origin }: SshOption, { note }: Findings): string | undefined {
  const text = args[0] ?? '';
  const { modifier, names } = splitList(text);
  if (modifier === '-') return text;
  const left = names.filter((name) => !isOnlyOpenSsh(key, name));
  if (left.length === names.length) return text;
  if (left.length === 0 && modifier === '') return text;
  const dropped = names.filter((name) => !left.includes(name)).join(', ');
  note(`${locationOf(origin)}: ${dropped} (${key}): left out, because only OpenSSH has it`);
  return left.length === 0 ? undefined : `${modifier}${left.join(',')}`;
}

/** `keyword` is in small letters. */
function isOnlyOpenSsh(keyword: string, name: string): boolean {
  const ours = (Object.keys(ALGORITHMS) as AlgorithmKey[])
    .filter((key) => key.toLowerCase() === keyword)
    .some((key) => [...ALGORITHMS[key].defaults, ...ALGORITHMS[key].others].includes(name));
  return !ours && ONLY_OPENSSH.some((pattern) => pattern.test(name));
}

/** What `ssh -Q kex`, `mac`, `cipher` and `HostKeyAlgorithms` list in addition to ours, from OpenSSH 6.6 to 10. */
const ONLY_OPENSSH: readonly RegExp[] = [
  /^sntrup4591761x25519-sha512@tinyssh\.org$/,
  /^umac-(?:64|128)(?:-etm)?@openssh\.com$/,
  /^hmac-(?:md5|sha1|md5-96|sha1-96|ripemd160)(?:-etm)?@openssh\.com$/,
  /^(?:blowfish-cbc|cast128-cbc|arcfour|arcfour128|arcfour256|rijndael-cbc@lysator\.liu\.se)$/,
  /^(?:webauthn-)?(?:sk-)?(?:ssh|ecdsa|rsa)-[\w-]+(?:-cert-v01)?@openssh\.com$/,
];
