import type { Access } from '../../server-rules/access.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { isLoopbackListener } from '../../model/endpoint.ts';

/** What the holder of a tunnel's key may find open on the server. Documents and tests use these names. */
export const HOLES = [
  'command',
  'shell',
  'sftp',
  'terminal',
  'agent',
  'x11',
  'environment',
  'tunnel-device',
  'connect-server',
  'connect-elsewhere',
  'connect-socket',
  'listen-port',
  'listen-everywhere',
  'listen-privileged',
  'listen-socket',
  'listen-public',
  'password',
  'keyboard-interactive',
  'no-credentials',
] as const;

/** What only the files of the server tell (`--via`). */
const HOLES_IN_FILES = ['user-rc', 'other-keys', 'other-accounts'] as const;

export type Hole = (typeof HOLES)[number] | (typeof HOLES_IN_FILES)[number];

export type Verdict = 'open' | 'closed' | 'unknown';

/** Of which only some examples can be tried; `--via` reads the rules for all. */
const BY_EXAMPLES: ReadonlySet<Hole> = new Set([
  'connect-server',
  'connect-elsewhere',
  'connect-socket',
  'listen-port',
  'listen-everywhere',
  'listen-privileged',
  'environment',
]);

/** What the rules of the server tell whole: all others have to be tried. */
export const IN_RULES: readonly Hole[] = [
  ...HOLES.filter((hole) => BY_EXAMPLES.has(hole) || hole === 'tunnel-device' || hole === 'listen-public'),
  ...HOLES_IN_FILES,
];

/**
 * In one sentence what it would mean: `whoever has this key can run any program as user limited`. `sure` says that the rules of the
 * server were read.
 */
export function meaningOf(hole: Hole, verdict: Verdict, user: string, sure: boolean): string {
  const who = WHO[hole] ?? 'whoever has this key';
  const what = WHAT[hole](user);
  switch (verdict) {
    case 'open':
      return `${who} can ${what}`;
    case 'closed':
      return sure || !BY_EXAMPLES.has(hole)
        ? `${who} cannot ${what}`
        : `${who} could not ${what}, where that was tried`;
    case 'unknown':
      return `perhaps ${who} can ${what}`;
  }
}

const WHO: Readonly<Partial<Record<Hole, string>>> = {
  password: 'whoever guesses the password',
  'keyboard-interactive': 'whoever knows the answers',
  'no-credentials': 'somebody without any key',
  'listen-public': 'whoever reaches the server',
  'other-keys': 'somebody with another key',
};

const WHAT: Readonly<Record<Hole, (user: string) => string>> = {
  command: (user) => `run any program as user ${user}`,
  shell: (user) => `work in a shell as user ${user}`,
  sftp: (user) => `read and write every file that user ${user} may (sftp)`,
  terminal: () => 'have a terminal for what runs there',
  agent: () => 'offer an SSH agent to the programs of the server',
  x11: () => 'offer a screen to the programs of the server (X11)',
  environment: () => 'set variables for what runs there, also for a forced command',
  'tunnel-device': () => 'make network devices on the server (PermitTunnel)',
  'connect-server': () => "connect to the server's own ports, past its firewall",
  'connect-elsewhere': () => 'connect to whatever the server reaches, in its name',
  'connect-socket': (user) => `connect to every Unix socket of the server that user ${user} may`,
  'listen-port': () => "listen on other ports of the server's localhost, in the place of its services",
  'listen-everywhere': () => 'open ports of the server to everybody who reaches it',
  'listen-privileged': () => "listen on ports below 1024 of the server's localhost",
  'listen-socket': (user) => `make Unix sockets on the server wherever user ${user} may`,
  'listen-public': () => "connect to the tunnel's listeners, which are for the server itself",
  'user-rc': (user) => `have what user ${user} wrote into ~/.ssh/rc run, in front of a forced command`,
  'other-keys': (user) => `log in as user ${user} and listen in the place of the tunnel`,
  'other-accounts': () => 'log in as another user of the server',
  password: (user) => `log in as user ${user} without the key`,
  'keyboard-interactive': (user) => `log in as user ${user} without the key, by answering questions`,
  'no-credentials': (user) => `log in as user ${user}`,
};

/** What the tunnel itself needs, with the reason: that is no finding, and not tried. */
export function neededBy(
  { opens, socketListener, socketTarget }: Access,
  { forwards, passwordFile }: Pick<TunnelSpec, 'forwards' | 'passwordFile'>,
): ReadonlyMap<Hole, string> {
  const needed = new Map<Hole, string>();
  const need = (holes: readonly Hole[], reason: string) => {
    for (const hole of holes) if (!needed.has(hole)) needed.set(hole, reason);
  };
  if (socketListener)
    need(['listen-socket'], 'the tunnel listens on a Unix socket, and OpenSSH cannot allow one alone');
  for (const { kind, listen } of forwards) {
    if (kind !== 'remote' || listen.type !== 'tcp' || listen.port !== 0) continue;
    need(
      [isLoopbackListener(listen) ? 'listen-port' : 'listen-everywhere'],
      'the tunnel lets the server choose a port',
    );
    if (isLoopbackListener(listen)) need(['listen-privileged'], 'the tunnel lets the server choose a port');
  }
  if (opens === 'any') {
    need(['connect-server', 'connect-elsewhere'], 'the tunnel connects to whatever its visitors name');
    if (socketTarget)
      need(['connect-socket'], 'the tunnel connects to a Unix socket, and to whatever its visitors name');
  } else if (opens.some((open) => /^(localhost|127\.0\.0\.1|\[::1\]):\*$/.test(open)))
    need(['connect-server'], 'the tunnel lets the server choose a port, and looks where it leads');
  if (passwordFile !== null) need(['password', 'keyboard-interactive'], 'the tunnel has a password');
  return needed;
}
