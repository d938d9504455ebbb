/** What tunneld does with an option of ssh(1). */
export interface SshFlag {
  /** Whether an argument follows. */
  readonly takesArgument: boolean;
  readonly use: FlagUse;
}

type FlagUse =
  /** An option of ssh_config(5), with this value where it takes no argument. `first`: it overrides -o, wherever it stands. */
  | { readonly type: 'option'; readonly key: string; readonly value?: string; readonly first?: true }
  | { readonly type: 'own'; readonly what: 'config' | 'option' | 'verbose' | 'quiet' | 'monitor' }
  /** What tunneld does anyway. */
  | { readonly type: 'implied' }
  /** Accepted; the text says why it does nothing. */
  | { readonly type: 'idle'; readonly why: string }
  | { readonly type: 'refused'; readonly why: string };

const option = (key: string): SshFlag => ({ takesArgument: true, use: { type: 'option', key } });
/** ssh assigns these at once: the last one counts, and before any -o. */
const override = (key: string, value?: string): SshFlag => ({
  takesArgument: value === undefined,
  use: { type: 'option', key, first: true, ...(value === undefined ? {} : { value }) },
});
const own = (what: 'config' | 'option' | 'verbose' | 'quiet' | 'monitor', takesArgument = false): SshFlag => ({
  takesArgument,
  use: { type: 'own', what },
});
const implied: SshFlag = { takesArgument: false, use: { type: 'implied' } };
const idle = (why: string, takesArgument = false): SshFlag => ({ takesArgument, use: { type: 'idle', why } });
const refused = (why: string, takesArgument = false): SshFlag => ({ takesArgument, use: { type: 'refused', why } });

const NO_SHELL = 'no shell is opened on the server';
const NO_MASTER = 'tunneld has a connection of its own and shares none';

/** Every option of ssh(1) by its letter; -M is autossh's where a port follows it. */
export const SSH_FLAGS: Readonly<Record<string, SshFlag>> = {
  '4': override('addressfamily', 'inet'),
  '6': override('addressfamily', 'inet6'),
  b: override('bindaddress'),
  B: override('bindinterface'),
  C: override('compression', 'yes'),
  c: override('ciphers'),
  D: option('dynamicforward'),
  F: own('config', true),
  g: override('gatewayports', 'yes'),
  i: option('identityfile'),
  J: option('proxyjump'),
  L: option('localforward'),
  l: option('user'),
  m: override('macs'),
  o: own('option', true),
  p: option('port'),
  P: option('tag'),
  q: own('quiet'),
  R: option('remoteforward'),
  v: own('verbose'),

  N: implied,
  T: implied,
  n: implied,
  '2': implied,
  a: implied,
  x: implied,
  k: implied,

  f: idle('it is needless: tunneld stays in the foreground, where a service manager looks after it'),
  A: idle(NO_SHELL),
  E: idle('the log goes to standard error, or where log.file of a configuration says', true),
  e: idle(NO_SHELL, true),
  I: idle('keys in hardware are used through an agent (IdentityAgent)', true),
  K: idle('GSSAPI is not supported'),
  M: own('monitor'),
  S: idle(NO_MASTER, true),
  t: idle(NO_SHELL),
  X: idle(NO_SHELL),
  Y: idle(NO_SHELL),
  y: idle('the log goes to standard error'),

  '1': refused('protocol 1 is broken and gone'),
  G: refused('use --print-config to see what a command line means'),
  O: refused(NO_MASTER, true),
  Q: refused('a wrong name of an algorithm lists those that are known', true),
  s: refused(NO_SHELL),
  V: refused('use tunneld --version'),
  W: refused('standard input and output are not forwarded; use -L, or ssh itself as a ProxyCommand', true),
  w: refused('network devices are not forwarded, only connections', true),
};
