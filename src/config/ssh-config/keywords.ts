import { printable } from '../../lib/text.ts';
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
 * What stands behind a keyword: `one` argument, one or `two` or exactly a `pair`, a `list` (or none), `names`, `sent` or
 * `set` variables, a `command` (the rest of the line with quotes and #), a `text` (the rest up to a #), the `criteria` of Match, or whatever
 * is `ignored` together with its keyword.
 */
type Shape = 'one' | 'two' | 'pair' | 'list' | 'names' | 'sent' | 'set' | 'command' | 'text' | 'criteria' | 'ignored';

/** The keyword that a word of any case stands for, aliases resolved. */
export function findKeyword(word: string): Keyword | undefined {
  const key = word.toLowerCase();
  return KEYWORDS.get(ALIASES.get(key) ?? key);
}

/** What is wrong with a word that is no keyword. Only a word of letters is repeated: the rest may be anything, even a key. */
export function unknownKeyword(word: string): string {
  if (!/^\p{Cf}*[a-z][a-z0-9_-]{0,39}$/iu.test(word)) return 'this line does not begin with a keyword of ssh_config';
  return `${printable(word, 40)} ${unknownKey(word, KEYWORD_NAMES)}`;
}

/** The keywords that are no option of a tunnel; those that are stand in the table of options. */
const BY_SHAPE: Readonly<Record<Shape, string>> = {
  one: `
    BatchMode CanonicalizeFallbackLocal CanonicalizeHostname CanonicalizeMaxDots CASignatureAlgorithms
    ClearAllForwardings ConnectionAttempts ControlMaster ControlPath ControlPersist EnableEscapeCommandline
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
  // What OpenSSH calls deprecated or unsupported, and then the keywords of Debian, Fedora and macOS: their own ssh accepts
  // them, so that a file with them is no broken file.
  ignored: `
    Protocol Cipher FallBackToRsh GlobalKnownHostsFile2 RhostsAuthentication UserKnownHostsFile2 UseRoaming UseRsh
    UsePrivilegedPort AFSTokenPassing KerberosAuthentication KerberosTGTPassing RSAAuthentication
    RhostsRSAAuthentication CompressionLevel
    GSSAPIKeyExchange GSSAPIClientIdentity GSSAPIServerIdentity GSSAPIRenewalForcesRekey GSSAPITrustDNS
    GSSAPIKexAlgorithms ProtocolKeepAlives SetupTimeOut UseKeychain`,
};

/** Old names, and the one of Fedora, and what they mean today. */
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
    ...SHAPES.flatMap((shape) =>
      (BY_SHAPE[shape].match(/\S+/g) ?? []).map((name) => keyword(name, shape, name === 'SendEnv')),
    ),
    ...SSH_OPTIONS.map(({ ssh: { name, takes = 'one', repeats = false } }) => keyword(name, takes, repeats)),
  ]
    .toSorted((a, b) => SHAPES.indexOf(a.shape) - SHAPES.indexOf(b.shape) || (a.key < b.key ? -1 : 1))
    .map((entry) => [entry.key, entry]),
);

function keyword(name: string, shape: Shape, accumulates: boolean): Keyword {
  return { key: name.toLowerCase(), name, shape, accumulates };
}

/** What an unknown keyword may be a slip of, as the manual writes it: nobody is advised to write what is ignored. */
export const KEYWORD_NAMES: readonly string[] = [...KEYWORDS.values()]
  .filter(({ shape }) => shape !== 'ignored')
  .map(({ name }) => name);
