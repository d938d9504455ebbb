import { posix } from 'node:path';
import type { Endpoint } from './endpoint.ts';

/** The letters of the ssh_config(5) tokens that stand for a part of a connection. */
export const CONNECTION = 'CdhijkLlnpru';

/** The keys that ssh tries by default, in its order (ssh_config(5), IdentityFile). */
const SSH_IDENTITIES = ['id_rsa', 'id_ecdsa', 'id_ecdsa_sk', 'id_ed25519', 'id_ed25519_sk', 'id_dsa'];

/**
 * Every option of a tunnel, a row each: first the options of a server and of the login to it, which jump servers have
 * too. The rows define the types of what is read and of a complete tunnel, the defaults, what is printed (in this
 * order), the options of ssh_config(5), the lists in the manual and the documents, and the JSON Schema for editors.
 * Meanings are those of ssh_config(5).
 */
export const SERVER_OPTIONS = {
  host: {
    kind: { type: 'host' },
    default: { of: ({ destination }: DefaultsContext) => destination, text: "the tunnel's name" },
    ssh: { name: 'HostName', tokens: 'h' },
    text: 'name or address of the server, looked up in ssh_config as ssh does',
  },
  identityFile: {
    kind: { type: 'paths' },
    field: 'identityFiles',
    default: {
      of: ({ home }: DefaultsContext) => SSH_IDENTITIES.map((file) => posix.join(home, '.ssh', file)),
      text: "OpenSSH's own list",
    },
    ssh: { name: 'IdentityFile', repeats: true, tokens: CONNECTION, restricts: 'none' },
    text: 'private keys to log in with, or none',
  },
  certificateFile: {
    kind: { type: 'paths' },
    field: 'certificateFiles',
    default: [],
    ssh: { name: 'CertificateFile', repeats: true, tokens: CONNECTION },
    text: 'certificates of keys; without any, the -cert.pub beside each key is used, as with ssh',
  },
  port: {
    kind: { type: 'port' },
    default: 22,
    ssh: { name: 'Port' },
    text: 'port of the SSH server',
  },
  user: {
    kind: { type: 'word' },
    default: { of: ({ userName }: DefaultsContext) => userName, text: 'the user that runs tunneld' },
    ssh: { name: 'User' },
    text: 'account to log in to',
  },
  addressFamily: {
    kind: { type: 'words', words: ['any', 'inet', 'inet6'] },
    default: 'any',
    ssh: { name: 'AddressFamily', neutral: ['any'] },
    text: 'addresses to use, of the server, of targets and for listeners of this device: any, inet (IPv4 alone) or inet6 (IPv6 alone)',
  },
  bindAddress: {
    kind: { type: 'address' },
    unset: 'any',
    ssh: { name: 'BindAddress', neutral: ['none'] },
    text: 'address of this device to connect from',
  },
  bindInterface: {
    kind: { type: 'word' },
    unset: 'any',
    ssh: { name: 'BindInterface', neutral: ['none'] },
    text: 'interface whose address to connect from, where bindAddress names none',
  },
  connectTimeout: {
    kind: { type: 'duration', min: 1 },
    field: 'connectTimeoutMs',
    default: 10_000,
    ssh: { name: 'ConnectTimeout' },
    text: 'how long to wait for the server to answer',
  },
  connectLimit: {
    kind: { type: 'connect-limit' },
    unset: 'auto',
    text: 'new connections that the server takes from one address, such as 4/minute; auto finds it out',
  },
  tcpKeepAlive: {
    kind: { type: 'yes-no' },
    default: true,
    ssh: { name: 'TCPKeepAlive' },
    text: 'whether the operating system probes idle connections too',
  },
  identitiesOnly: {
    kind: { type: 'yes-no' },
    default: false,
    ssh: { name: 'IdentitiesOnly', restricts: 'yes' },
    text: 'whether to offer only the keys of identityFile, and not all that an agent holds',
  },
  identityAgent: {
    kind: { type: 'agent' },
    default: { of: ({ env }: DefaultsContext) => env['SSH_AUTH_SOCK'] || null, text: 'SSH_AUTH_SOCK' },
    ssh: { name: 'IdentityAgent', tokens: CONNECTION, restricts: 'none' },
    text: "the agent's socket: a path, SSH_AUTH_SOCK, $NAME for a variable with the path, or none",
  },
  passphraseFile: {
    kind: { type: 'path' },
    text: 'file with the passphrase of an encrypted key, readable by its owner alone',
  },
  passwordFile: {
    kind: { type: 'path' },
    text: 'file with the password for a server that takes no keys, readable by its owner alone',
  },
  pubkeyAcceptedAlgorithms: {
    kind: { type: 'key-algorithms' },
    unset: 'all',
    ssh: { name: 'PubkeyAcceptedAlgorithms', neutral: ['none'] },
    text: 'signature algorithms that keys may be used with',
  },
  requiredRSASize: {
    kind: { type: 'integer', min: 0, max: 1_000_000 },
    // A smaller number changes nothing: SSH_RSA_MINIMUM_MODULUS_SIZE of OpenSSH's sshkey.h.
    default: 1024,
    ssh: { name: 'RequiredRSASize', neutral: ['none'] },
    text: "bits of the smallest RSA key that is used or accepted, the device's and the server's",
  },
  userKnownHostsFile: {
    kind: { type: 'spaced-paths' },
    field: 'userKnownHostsFiles',
    default: { of: ({ home }: DefaultsContext) => [posix.join(home, '.ssh/known_hosts')], text: '~/.ssh/known_hosts' },
    ssh: { name: 'UserKnownHostsFile', takes: 'list', tokens: CONNECTION, restricts: 'none' },
    text: 'files that list the host keys of servers, or none',
  },
  globalKnownHostsFile: {
    kind: { type: 'spaced-paths' },
    field: 'globalKnownHostsFiles',
    default: ['/etc/ssh/ssh_known_hosts'],
    ssh: { name: 'GlobalKnownHostsFile', takes: 'list', restricts: 'none' },
    text: 'further such files, which are never changed, or none',
  },
  strictHostKeyChecking: {
    kind: { type: 'strictness', words: ['yes', 'accept-new', 'no'] },
    default: 'yes',
    ssh: {
      name: 'StrictHostKeyChecking',
      restricts: 'yes',
      // ssh's default is `ask`; a daemon has no terminal to ask on.
      words: { ask: 'yes', true: 'yes', off: 'no', false: 'no' },
    },
    text: 'yes connects only to a server whose key is listed, accept-new lists the first key of a new server, no takes any key of a new server',
  },
  hostKeyAlias: {
    kind: { type: 'word' },
    unset: "the server's name",
    ssh: { name: 'HostKeyAlias' },
    text: 'name to look for in these files instead of host',
  },
  updateHostKeys: {
    kind: { type: 'yes-no' },
    default: true,
    ssh: { name: 'UpdateHostKeys', restricts: 'no', words: { ask: 'no' } },
    text: 'whether to list further keys that a trusted server says it has, and to remove those that it has no longer',
  },
  revokedHostKeys: {
    kind: { type: 'spaced-paths' },
    default: [],
    ssh: { name: 'RevokedHostKeys', takes: 'list', tokens: CONNECTION, neutral: ['none'] },
    text: 'files with host keys that no server may show',
  },
  checkHostIP: {
    kind: { type: 'yes-no' },
    default: false,
    ssh: { name: 'CheckHostIP', restricts: 'yes' },
    text: "whether known_hosts must not know the server's address by another key",
  },
  serverAliveInterval: {
    kind: { type: 'duration', min: 0 },
    field: 'serverAliveIntervalMs',
    default: 15_000,
    ssh: { name: 'ServerAliveInterval' },
    text: 'how long the server may be silent before it is asked for a sign of life; 0 is never',
  },
  serverAliveCountMax: {
    kind: { type: 'integer', min: 0, max: 1_000_000 },
    default: 3,
    ssh: { name: 'ServerAliveCountMax' },
    text: 'how many signs of life may be missed',
  },
  compression: {
    kind: { type: 'yes-no' },
    default: false,
    ssh: { name: 'Compression' },
    text: 'whether to compress, which only helps on a slow link',
  },
  rekeyLimit: {
    kind: { type: 'rekey-limit' },
    unset: 'as ssh: 64 GiB with AES, 1 GiB with ChaCha20',
    ssh: { name: 'RekeyLimit', takes: 'two', neutral: ['none', 'default'] },
    text: 'bytes, and perhaps a time, after which the keys of the connection are exchanged anew, such as 1G 1h',
  },
  ciphers: {
    kind: { type: 'algorithms' },
    unset: 'all that are good today',
    ssh: { name: 'Ciphers', neutral: ['none'] },
    text: 'ciphers in order of preference; + adds to the default, - takes from it, ^ prefers some of it',
  },
  kexAlgorithms: {
    kind: { type: 'algorithms' },
    unset: 'all that are good today',
    ssh: { name: 'KexAlgorithms', neutral: ['none'] },
    text: 'key exchanges, written like ciphers',
  },
  macs: {
    kind: { type: 'algorithms' },
    unset: 'all that are good today',
    ssh: { name: 'MACs', neutral: ['none'] },
    text: 'message authentication codes, written like ciphers',
  },
  hostKeyAlgorithms: {
    kind: { type: 'algorithms' },
    unset: 'all that are good today',
    ssh: { name: 'HostKeyAlgorithms', neutral: ['none'] },
    text: 'host key algorithms, written like ciphers',
  },
  caSignatureAlgorithms: {
    kind: { type: 'algorithms' },
    unset: 'all but SHA-1',
    ssh: { name: 'CASignatureAlgorithms', neutral: ['none'] },
    text: 'how the authorities of @cert-authority lines may have signed certificates of hosts, written like ciphers',
  },
  preferredAuthentications: {
    kind: { type: 'methods' },
    field: 'authentications',
    default: ['publickey', 'password', 'keyboard-interactive'],
    ssh: { name: 'PreferredAuthentications', neutral: ['none'] },
    text: 'ways to log in, in order of preference',
  },
  pubkeyAuthentication: {
    kind: { type: 'pubkey-authentication' },
    field: null,
    default: true,
    ssh: { name: 'PubkeyAuthentication', restricts: 'no' },
    text: 'whether to log in with keys',
  },
  passwordAuthentication: {
    kind: { type: 'yes-no' },
    field: null,
    default: true,
    ssh: { name: 'PasswordAuthentication', restricts: 'no' },
    text: 'whether to log in with the password of passwordFile',
  },
  kbdInteractiveAuthentication: {
    kind: { type: 'yes-no' },
    field: null,
    default: true,
    ssh: { name: 'KbdInteractiveAuthentication', restricts: 'no' },
    text: 'whether to answer a question of the server with that password',
  },
  numberOfPasswordPrompts: {
    kind: { type: 'integer', min: 0, max: 1_000_000 },
    field: null,
    default: 3,
    ssh: { name: 'NumberOfPasswordPrompts', neutral: ['none'] },
    text: '0 turns both of these off; other numbers change nothing',
  },
} as const satisfies Readonly<Record<string, Option>>;

/** The options that only a tunnel has. */
export const TUNNEL_OPTIONS = {
  sourcePort: {
    kind: { type: 'words', words: ['sticky', 'any'] },
    default: 'sticky',
    ofConnection: true,
    text: 'sticky connects from the same port of this device each time, so that the server lets go of a dead connection at once',
  },
  exitOnForwardFailure: {
    kind: { type: 'yes-no' },
    default: true,
    ofConnection: false,
    ssh: { name: 'ExitOnForwardFailure' },
    text: 'whether the tunnel counts as down while the server refuses one of its forwards',
  },
  verify: {
    kind: { type: 'verify', words: ['auto', 'required', 'off'] },
    default: 'auto',
    ofConnection: false,
    text: 'whether to test that listeners lead here and targets answer: auto where the server allows it, required calls the tunnel up only then, off never',
  },
  streamLocalBindUnlink: {
    kind: { type: 'yes-no' },
    default: false,
    ofConnection: false,
    ssh: { name: 'StreamLocalBindUnlink' },
    text: 'whether a local listener that is a Unix socket replaces a dead one',
  },
  streamLocalBindMask: {
    kind: { type: 'mask' },
    default: 0o177,
    ofConnection: false,
    ssh: { name: 'StreamLocalBindMask', neutral: ['none'] },
    text: 'mode bits that such a socket must not have, in octal and in quotes',
  },
  channelTimeout: {
    kind: { type: 'channel-timeouts' },
    default: [],
    ofConnection: false,
    ssh: { name: 'ChannelTimeout', takes: 'list', neutral: ['none'] },
    text: "how long connections may be idle, by OpenSSH's names of channels, such as forwarded-tcpip=12h",
  },
  permitRemoteOpen: {
    kind: { type: 'destinations' },
    ofConnection: false,
    unset: 'anywhere',
    ssh: { name: 'PermitRemoteOpen', takes: 'list', neutral: ['any'] },
    text: 'where a remote SOCKS proxy leads: host:port, with * for any, or none',
  },
  servers: {
    kind: { type: 'servers' },
    field: null,
    unset: 'host alone',
    text: 'several servers in the place of host: a list, each after the first for when the ones before are down (failover), or all with a list, which have the tunnel all the time',
  },
  proxyJump: {
    kind: { type: 'jumps' },
    field: null,
    default: [],
    ssh: { name: 'ProxyJump', takes: 'text', tokens: 'hnpr' },
    text: 'servers to log in to and go through, each [user@]host[:port] or a mapping of the keys of a server',
  },
  proxyCommand: {
    kind: { type: 'command' },
    field: null,
    ssh: { name: 'ProxyCommand', takes: 'command', tokens: 'hnpr' },
    text: 'command whose input and output lead to the server',
  },
  proxy: {
    kind: { type: 'proxy' },
    field: null,
    text: 'proxy to go through, http://[user@]host[:port] or socks5://[user@]host[:port]',
  },
  proxyPasswordFile: {
    kind: { type: 'path' },
    field: null,
    text: 'file with the password for the proxy, readable by its owner alone',
  },
  gatewayPorts: {
    kind: { type: 'yes-no' },
    field: null,
    default: false,
    ssh: { name: 'GatewayPorts', restricts: 'no' },
    text: 'whether local and dynamic forwards that name no address listen for everybody',
  },
  remoteForward: {
    kind: { type: 'forwards', of: 'remote' },
    field: null,
    default: [],
    ssh: { name: 'RemoteForward', takes: 'two', repeats: true, tokens: CONNECTION },
    text: 'the server listens, and this device connects: 8080:localhost:22, or a mapping of listen and target',
  },
  localForward: {
    kind: { type: 'forwards', of: 'local' },
    field: null,
    default: [],
    ssh: { name: 'LocalForward', takes: 'pair', repeats: true, tokens: CONNECTION },
    text: 'this device listens, and the server connects: 9999:mailserver:110',
  },
  dynamicForward: {
    kind: { type: 'forwards', of: 'dynamic' },
    field: null,
    default: [],
    ssh: { name: 'DynamicForward', repeats: true },
    text: 'this device is a SOCKS proxy, and the server connects: 1080',
  },
  reconnect: {
    kind: { type: 'reconnect' },
    default: { minMs: 1000, maxMs: 60_000 },
    ofConnection: false,
    text: 'the shortest and the longest wait before another login',
  },
  sshConfig: {
    kind: { type: 'path-or-none' },
    field: null,
    unset: "ssh's two files",
    text: "file to read instead of ssh's own configuration, or none",
  },
} as const satisfies Readonly<Record<string, TunnelOption>>;

export const OPTIONS = { ...SERVER_OPTIONS, ...TUNNEL_OPTIONS };

/** What each of several servers of a tunnel may have of its own. */
export const ENTRY_OPTIONS = {
  ...SERVER_OPTIONS,
  proxyJump: TUNNEL_OPTIONS.proxyJump,
  proxyCommand: TUNNEL_OPTIONS.proxyCommand,
  proxy: TUNNEL_OPTIONS.proxy,
  proxyPasswordFile: TUNNEL_OPTIONS.proxyPasswordFile,
} as const satisfies Readonly<Record<string, Option>>;

/** What has a field of a tunnel says whether tunnels that differ in it may share a connection. */
type TunnelOption = Option & ({ readonly field: null } | { readonly ofConnection: boolean });

/** One row of the table. */
export interface Option {
  readonly kind: Kind;
  /** The value where the option is not written, as it is after reading; or how to find it, with a text for people. Absent, it is null. */
  readonly default?: unknown;
  /** The text for people of what is without a default. */
  readonly unset?: string;
  /** The field of a complete tunnel, where its name differs; null where the option becomes a part of other fields. */
  readonly field?: string | null;
  /** Whether the connection or its login depends on it, as it does on every option of a server. */
  readonly ofConnection?: boolean;
  /** The equivalent option of ssh_config(5); absent where there is none. */
  readonly ssh?: SshKeyword;
  /** A description without a full stop. */
  readonly text: string;
}

/** A default that depends on where the configuration is read. */
interface Found<T = unknown> {
  readonly of: (here: DefaultsContext) => T;
  readonly text: string;
}

/** Where a configuration is read. */
export interface DefaultsContext {
  /** The destination as it was written. */
  readonly destination: string;
  readonly home: string;
  readonly userName: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** An option of ssh_config(5), whose words in a file or of -o are accepted. */
export interface SshKeyword {
  /** The name as the manual writes it. */
  readonly name: string;
  /** The arguments; one by default. `pair` are exactly two, `command` and `text` the rest of the line. */
  readonly takes?: 'one' | 'two' | 'pair' | 'list' | 'command' | 'text';
  /** Whether every line counts, not only the first (readconf.c). */
  readonly repeats?: true;
  /** The letters of the %-tokens that are replaced. */
  readonly tokens?: string;
  /** The value that takes away what would be connected to, accepted, offered or let through. */
  readonly restricts?: 'yes' | 'no' | 'none';
  /** Where every value restricts: the values that do not. */
  readonly neutral?: readonly string[];
  /** Words that a file of ours does not know, with their meaning there. */
  readonly words?: Readonly<Record<string, string>>;
}

/** How a value is written. The functions that read, print and describe values are found by this name. */
export type Kind =
  | Each<PlainKind, object>
  | { readonly type: 'integer'; readonly min: number; readonly max: number }
  /** Milliseconds, written as seconds; `min` is in seconds. */
  | { readonly type: 'duration'; readonly min: number }
  | Each<'words' | 'strictness' | 'verify', { readonly words: readonly string[] }>
  | { readonly type: 'forwards'; readonly of: 'remote' | 'local' | 'dynamic' };

type Each<Type, More> = Type extends unknown ? { readonly type: Type } & More : never;

type PlainKind =
  | Exclude<keyof FieldValues, 'integer' | 'duration'>
  | 'command'
  | 'jumps'
  | 'path-or-none'
  | 'proxy'
  | 'pubkey-authentication'
  | 'servers';

/** The type of a value of each kind after reading. */
export interface FieldValues {
  readonly address: string;
  readonly agent: string | null;
  readonly arguments: readonly string[];
  readonly algorithms: readonly string[];
  readonly 'channel-timeouts': readonly ChannelTimeout[];
  readonly 'connect-limit': ConnectLimit | null;
  readonly destinations: readonly string[] | null;
  readonly duration: number;
  readonly host: string;
  readonly hosts: readonly string[];
  readonly 'http-listener': Endpoint;
  readonly integer: number;
  readonly 'key-algorithms': readonly string[];
  readonly mask: number;
  readonly methods: readonly AuthMethod[];
  readonly path: string;
  readonly paths: readonly string[];
  readonly port: number;
  readonly reconnect: { readonly minMs: number; readonly maxMs: number };
  readonly 'rekey-limit': RekeyLimit | null;
  readonly socket: string;
  readonly 'spaced-paths': readonly string[];
  readonly url: string;
  readonly word: string;
  readonly 'yes-no': boolean;
}

/** The type of a value of this kind, given the types of all kinds. */
export type ValueOf<K extends Kind, Values = FieldValues> = K extends { readonly words: readonly (infer W)[] }
  ? W
  : K['type'] extends keyof Values
    ? Values[K['type']]
    : never;

/** The fields of a complete tunnel that these options define. */
export type FieldsOf<Rows extends Readonly<Record<string, Option>>> = {
  readonly [Name in keyof Rows & string as FieldOf<Rows[Name], Name>]:
    | ValueOf<Rows[Name]['kind']>
    | (Rows[Name] extends { readonly default: {} } ? never : null);
};

type FieldOf<Row extends Option, Name extends string> = Row extends { readonly field: infer F extends string | null }
  ? F extends string
    ? F
    : never
  : Name;

/** Null is no limit. */
export interface RekeyLimit {
  readonly bytes: number | null;
  readonly ms: number | null;
}

/** `type` is a pattern for OpenSSH's names of channels, or `global` for all together; 0 milliseconds are no limit. */
export interface ChannelTimeout {
  readonly type: string;
  readonly ms: number;
}

/** The authentication methods of this program, as RFC 4252 and RFC 4256 name them. */
export type AuthMethod = 'publickey' | 'password' | 'keyboard-interactive';

/** At most `count` connections begin within `windowMs`. */
export interface ConnectLimit {
  readonly count: number;
  readonly windowMs: number;
}

/** The field of an option; null where it becomes a part of others. */
export function fieldOf(name: string, { field }: Option): string | null {
  return field === undefined ? name : field;
}

/** The value where the option is not written. */
export function defaultOf({ default: usual = null }: Option, here: DefaultsContext): unknown {
  return isFound(usual) ? usual.of(here) : usual;
}

/** The same for people, where it is no value that a file could hold. */
export function defaultText(option: Option): string | null {
  if (isFound(option.default)) return option.default.text;
  return option.default === undefined ? (option.unset ?? 'none') : null;
}

function isFound(value: unknown): value is Found {
  return typeof value === 'object' && value !== null && 'of' in value;
}
