import type { TunnelSpec } from '../tunnel/spec.ts';

/** What the holder of a tunnel's key may find open on the server. Documents and tests use these names. */
export const HOLES = [
  'command',
  'shell',
  'sftp',
  'terminal',
  'agent',
  'x11',
  'connect-server',
  'connect-elsewhere',
  'connect-socket',
  'listen-port',
  'listen-everywhere',
  'listen-privileged',
  'listen-socket',
  'password',
  'keyboard-interactive',
  'no-credentials',
] as const;

export type Hole = (typeof HOLES)[number];

export type Verdict = 'open' | 'closed' | 'unknown';

/** In one sentence what it would mean: `whoever has this key can run any program as user limited`. */
export function meaningOf(hole: Hole, verdict: Verdict, user: string): string {
  const who = WHO[hole] ?? 'whoever has this key';
  const what = WHAT[hole](user);
  switch (verdict) {
    case 'open':
      return `${who} can ${what}`;
    case 'closed':
      return `${who} cannot ${what}`;
    case 'unknown':
      return `perhaps ${who} can ${what}`;
  }
}

const WHO: Readonly<Partial<Record<Hole, string>>> = {
  password: 'whoever guesses the password',
  'keyboard-interactive': 'whoever knows the answers',
  'no-credentials': 'somebody without any key',
};

const WHAT: Readonly<Record<Hole, (user: string) => string>> = {
  command: (user) => `run any program as user ${user}`,
  shell: (user) => `work in a shell as user ${user}`,
  sftp: (user) => `read and write every file that user ${user} may (sftp)`,
  terminal: () => 'have a terminal for what runs there',
  agent: () => 'offer an SSH agent to the programs of the server',
  x11: () => 'offer a screen to the programs of the server (X11)',
  'connect-server': () => "connect to the server's own ports, past its firewall",
  'connect-elsewhere': () => 'connect to whatever the server reaches, in its name',
  'connect-socket': (user) => `connect to every Unix socket of the server that user ${user} may`,
  'listen-port': () => "listen on other ports of the server's localhost, in the place of its services",
  'listen-everywhere': () => 'open ports of the server to everybody who reaches it',
  'listen-privileged': () => "listen on ports below 1024 of the server's localhost",
  'listen-socket': (user) => `make Unix sockets on the server wherever user ${user} may`,
  password: (user) => `log in as user ${user} without the key`,
  'keyboard-interactive': (user) => `log in as user ${user} without the key, by answering questions`,
  'no-credentials': (user) => `log in as user ${user}`,
};

/** What the tunnel itself needs, with the reason: that is no finding, and not tried. */
export function neededBy({
  forwards,
  passwordFile,
}: Pick<TunnelSpec, 'forwards' | 'passwordFile'>): ReadonlyMap<Hole, string> {
  const needed = new Map<Hole, string>();
  for (const { kind, listen, target } of forwards) {
    if (kind === 'remote') {
      if (listen.type === 'unix') needed.set('listen-socket', 'the tunnel listens on a Unix socket');
      else if (listen.port === 0)
        needed.set(
          isLoopback(listen.host) ? 'listen-port' : 'listen-everywhere',
          'the tunnel lets the server choose a port',
        );
      else if (listen.port < 1024) needed.set('listen-privileged', 'the tunnel listens on such a port');
    } else if (target.type === 'socks') {
      for (const hole of ['connect-server', 'connect-elsewhere'] as const)
        needed.set(hole, 'the tunnel connects to whatever its visitors name');
    } else if (target.type === 'unix') {
      for (const hole of ['connect-server', 'connect-elsewhere', 'connect-socket'] as const)
        needed.set(hole, 'the tunnel connects to a Unix socket, and OpenSSH cannot allow one socket alone');
    }
  }
  if (passwordFile !== null)
    for (const hole of ['password', 'keyboard-interactive'] as const) needed.set(hole, 'the tunnel has a password');
  return needed;
}

/** Names under which a listener of localhost is asked for. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}
