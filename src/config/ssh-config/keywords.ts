import { invisibleCharacter, printable } from '../../lib/text.ts';
import { SSH_OPTIONS } from '../schema/keys.ts';
import { unknownKey } from '../schema/suggest.ts';

/** A keyword of ssh_config(5). */
export interface Keyword {
  /** In lower case. */
  readonly key: string;
  /** As the manual writes it. */
  readonly name: string;
  readonly shape: Shape;
  /** Whether every line counts, not only the first (readconf.c). */
  readonly accumulates: boolean;
}

/**
 * The arguments of a keyword: `one`, one or `two`, exactly a `pair`, a `list` (or none), `names`, `sent` or `set` variables, a `command`
 * (the rest of the line with quotes and #), a `text` (the rest up to a #), the `criteria` of Match, or anything, which is `ignored`
 * together with the keyword.
 */
type Shape = 'one' | 'two' | 'pair' | 'list' | 'names' | 'sent' | 'set' | 'command' | 'text' | 'criteria' | 'ignored';

/** The keyword of a word in any case, with aliases resolved. */
export function findKeyword(word: string): Keyword | undefined {
  const key = word.toLowerCase();
  return KEYWORDS.get(ALIASES.get(key) ?? key);
}

/** The message for a word that is no keyword. Only a plain word is repeated: other text may be anything, even a key. */
export function unknownKeyword(word: string): string {
  if (!/^\p{Cf}*[a-z][a-z0-9_-]{0,39}$/iu.test(word)) return noKeyword(word);
  return `${printable(word, 40)} ${unknownKey(word, KEYWORD_NAMES)}`;
}

function noKeyword(word: string): string {
  const invisible = invisibleCharacter(word);
  const seen = invisible === null ? '' : `: it has an invisible character (${invisible}), which is no blank`;
  return `this line does not begin with a keyword of ssh_config${seen}`;
}

/** The keywords that are no option of a tunnel; the others are in the table of options. */
const BY_SHAPE: Readonly<Record<Shape, string>> = {
  one: `
    BatchMode CanonicalizeFallbackLocal CanonicalizeHostname CanonicalizeMaxDots ClearAllForwardings ConnectionAttempts ControlMaster ControlPath ControlPersist EnableEscapeCommandline
    EnableSSHKeysign EscapeChar FingerprintHash ForkAfterAuthentication ForwardAgent ForwardX11 ForwardX11Timeout
    ForwardX11Trusted GSSAPIAuthentication GSSAPIDelegateCredentials HashKnownHosts HostbasedAcceptedAlgorithms
    HostbasedAuthentication IgnoreUnknown KbdInteractiveDevices LogLevel NoHostAuthenticationForLocalhost
    ObscureKeystrokeTiming PermitLocalCommand PKCS11Provider ProxyUseFdpass RefuseConnection RequestTTY
    SecurityKeyProvider SessionType StdinNull SyslogFacility Tag Tunnel TunnelDevice VerifyHostKeyDNS VisualHostKey
    WarnWeakCrypto XAuthLocation`,
  two: 'AddKeysToAgent IPQoS',
  pair: '',
  list: 'CanonicalDomains CanonicalizePermittedCNAMEs LogVerbose',
  names: 'Host Include',
  sent: 'SendEnv',
  set: 'SetEnv',
  command: 'KnownHostsCommand LocalCommand RemoteCommand',
  text: 'VersionAddendum',
  criteria: 'Match',
  // Deprecated or unsupported in OpenSSH, and keywords of the ssh of Debian, Fedora and macOS, which is why files have them.
  ignored: `
    Protocol Cipher FallBackToRsh GlobalKnownHostsFile2 RhostsAuthentication UserKnownHostsFile2 UseRoaming UseRsh
    UsePrivilegedPort AFSTokenPassing KerberosAuthentication KerberosTGTPassing RSAAuthentication
    RhostsRSAAuthentication CompressionLevel
    GSSAPIKeyExchange GSSAPIClientIdentity GSSAPIServerIdentity GSSAPIRenewalForcesRekey GSSAPITrustDNS
    GSSAPIKexAlgorithms ProtocolKeepAlives SetupTimeOut UseKeychain`,
};

/** Former names, and one of Fedora, of today's keywords. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ['challengeresponseauthentication', 'kbdinteractiveauthentication'],
  ['skeyauthentication', 'kbdinteractiveauthentication'],
  ['tisauthentication', 'kbdinteractiveauthentication'],
  ['dsaauthentication', 'pubkeyauthentication'],
  ['hostbasedkeytypes', 'hostbasedacceptedalgorithms'],
  ['pubkeyacceptedkeytypes', 'pubkeyacceptedalgorithms'],
  ['identityfile2', 'identityfile'],
  ['keepalive', 'tcpkeepalive'],
  ['smartcarddevice', 'pkcs11provider'],
  ['rsaminsize', 'requiredrsasize'],
]);

const SHAPES = Object.keys(BY_SHAPE) as Shape[];

const KEYWORDS: ReadonlyMap<string, Keyword> = new Map(
  [
    ...SHAPES.flatMap((shape) => (BY_SHAPE[shape].match(/\S+/g) ?? []).map((name) => keyword(name, shape, false))),
    ...SSH_OPTIONS.map(({ ssh: { name, takes = 'one', repeats = false } }) => keyword(name, takes, repeats)),
  ]
    .toSorted((a, b) => SHAPES.indexOf(a.shape) - SHAPES.indexOf(b.shape) || (a.key < b.key ? -1 : 1))
    .map((entry) => [entry.key, entry]),
);

function keyword(name: string, shape: Shape, accumulates: boolean): Keyword {
  return { key: name.toLowerCase(), name, shape, accumulates };
}

/** The keywords to suggest for an unknown one, as the manual writes them, without the ignored ones. */
export const KEYWORD_NAMES: readonly string[] = [...KEYWORDS.values()]
  .filter(({ shape }) => shape !== 'ignored')
  .map(({ name }) => name);
