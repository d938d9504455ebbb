/** An option of ssh(1). */
export interface SshFlag {
  readonly takesArgument: boolean;
  readonly use: FlagUse;
}

type FlagUse =
  /** An option of ssh_config(5), with this value where it takes no argument. `first`: it overrides -o, in any order. */
  | { readonly type: 'option'; readonly key: string; readonly value?: string; readonly first?: true }
  | { readonly type: 'own'; readonly what: 'config' | 'option' | 'verbose' | 'quiet' | 'monitor' }
  /** The default behaviour of tunneld. */
  | { readonly type: 'implied' }
  /** Accepted without effect, for the reason in `why`. */
  | { readonly type: 'idle'; readonly why: string }
  | { readonly type: 'refused'; readonly why: string };

const option = (key: string): SshFlag => ({ takesArgument: true, use: { type: 'option', key } });
/** ssh assigns these while it parses: the last one counts, and it precedes any -o. */
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
const NO_MASTER = 'tunneld uses a connection of its own';

/** Every option of ssh(1) by its letter; -M with a port is the one of autossh. */
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

  f: idle('tunneld stays in the foreground, for a service manager to supervise'),
  A: idle(NO_SHELL),
  E: idle('the log goes to standard error, or to log.file of a configuration', true),
  e: idle(NO_SHELL, true),
  I: idle('keys in hardware need an agent (IdentityAgent)', true),
  K: idle('GSSAPI is not supported'),
  M: own('monitor'),
  S: idle(NO_MASTER, true),
  t: idle(NO_SHELL),
  X: idle(NO_SHELL),
  Y: idle(NO_SHELL),
  y: idle('the log goes to standard error'),

  '1': refused('protocol 1 is insecure, and no server supports it any more'),
  G: refused('use --print-config to print the configuration of a command line'),
  O: refused(NO_MASTER, true),
  Q: refused('the error for an unknown algorithm lists the known ones', true),
  s: refused(NO_SHELL),
  V: refused('use tunneld --version'),
  W: refused('standard input and output are not forwarded; use -L, or ssh -W itself as a ProxyCommand', true),
  w: refused('network devices are not forwarded, only connections', true),
};
