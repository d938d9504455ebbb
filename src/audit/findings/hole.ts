import type { Access } from '../../server-rules/access.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { isLoopbackListener } from '../../model/endpoint.ts';

export type Verdict = 'open' | 'closed' | 'unknown';

interface HoleKind {
  /**
   * How it is found: `tried` on a connection; `examples` where only some of many can be tried, and the rules of the server have all (`--via`);
   * `tried-or-read` on a connection or in the rules; `read` in the files of the server alone.
   */
  readonly found: 'tried' | 'examples' | 'tried-or-read' | 'read';
  /** Whose it is; the holder of the tunnel's key where absent. */
  readonly subject?: string;
  /** What it allows, as the end of a sentence that begins with `subject can`. */
  readonly allows: (user: string) => string;
}

/** What may be open on the server to the holder of a tunnel's key. Documents and tests use these names. */
const KINDS = {
  command: { found: 'tried', allows: (user) => `run any program as user ${user}` },
  shell: { found: 'tried', allows: (user) => `work in a shell as user ${user}` },
  sftp: { found: 'tried', allows: (user) => `read and write every file that user ${user} may (sftp)` },
  terminal: { found: 'tried', allows: () => 'have a terminal for what runs there' },
  agent: { found: 'tried', allows: () => 'offer an SSH agent to the programs of the server' },
  x11: { found: 'tried', allows: () => 'offer a screen to the programs of the server (X11)' },
  environment: { found: 'examples', allows: () => 'set variables for what runs there, also for a forced command' },
  'tunnel-device': { found: 'tried-or-read', allows: () => 'make network devices on the server (PermitTunnel)' },
  'connect-server': { found: 'examples', allows: () => "connect to the server's own ports, past its firewall" },
  'connect-elsewhere': { found: 'examples', allows: () => 'connect to whatever the server reaches, in its name' },
  'connect-socket': {
    found: 'examples',
    allows: (user) => `connect to every Unix socket of the server that user ${user} may`,
  },
  'listen-port': {
    found: 'examples',
    allows: () => "listen on other ports of the server's localhost, in the place of its services",
  },
  'listen-everywhere': { found: 'examples', allows: () => 'open ports of the server to every machine that reaches it' },
  'listen-privileged': { found: 'examples', allows: () => "listen on ports below 1024 of the server's localhost" },
  'listen-socket': { found: 'tried', allows: (user) => `make Unix sockets on the server wherever user ${user} may` },
  'listen-public': {
    found: 'tried-or-read',
    subject: 'machines that reach the server',
    allows: () => "connect to the tunnel's listeners, which are for the server itself",
  },
  password: {
    found: 'tried',
    subject: 'a client that guesses the password',
    allows: (user) => `log in as user ${user} without the key`,
  },
  'keyboard-interactive': {
    found: 'tried',
    subject: 'a client that knows the answers',
    allows: (user) => `log in as user ${user} without the key, by answering questions`,
  },
  'no-credentials': { found: 'tried', subject: 'a client without any key', allows: (user) => `log in as user ${user}` },
  'user-rc': {
    found: 'read',
    allows: (user) => `have what user ${user} wrote into ~/.ssh/rc run, in front of a forced command`,
  },
  'other-keys': {
    found: 'read',
    subject: 'the holder of another key',
    allows: (user) => `log in as user ${user} and listen in the place of the tunnel`,
  },
  'other-accounts': { found: 'read', allows: () => 'log in as another user of the server' },
} as const satisfies Readonly<Record<string, HoleKind>>;

export type Hole = keyof typeof KINDS;

/** In the order of the report. */
const HOLES = Object.keys(KINDS) as readonly Hole[];

/** The holes that can be tried on a connection. */
export const TRIABLE: readonly Hole[] = HOLES.filter((hole) => KINDS[hole].found !== 'read');

/** The holes that the rules of the server show completely: all others have to be tried. */
export const IN_RULES: readonly Hole[] = HOLES.filter((hole) => KINDS[hole].found !== 'tried');

/**
 * What it would mean, in one sentence: `the holder of this key can run any program as user limited`. `sure` is whether the rules of the
 * server were read.
 */
export function meaningOf(hole: Hole, verdict: Verdict, user: string, sure: boolean): string {
  const { found, subject = 'the holder of this key', allows }: HoleKind = KINDS[hole];
  switch (verdict) {
    case 'open':
      return `${subject} can ${allows(user)}`;
    case 'closed':
      return sure || found !== 'examples'
        ? `${subject} cannot ${allows(user)}`
        : `${subject} could not ${allows(user)}, where that was tried`;
    case 'unknown':
      return `perhaps ${subject} can ${allows(user)}`;
  }
}

/** What the tunnel itself needs, with the reason: it is not a finding, and not tried. */
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
    const holes: readonly Hole[] = isLoopbackListener(listen)
      ? ['listen-port', 'listen-privileged']
      : ['listen-everywhere'];
    need(holes, 'the tunnel lets the server choose a port');
  }
  if (opens === 'any') {
    need(['connect-server', 'connect-elsewhere'], 'the tunnel connects to whatever its visitors name');
    if (socketTarget)
      need(['connect-socket'], 'the tunnel connects to a Unix socket, and to whatever its visitors name');
  } else if (opens.some((open) => /^(localhost|127\.0\.0\.1|\[::1\]):\*$/.test(open)))
    need(['connect-server'], 'the tunnel lets the server choose a port, and verifies where it leads');
  if (passwordFile !== null) need(['password', 'keyboard-interactive'], 'the tunnel has a password');
  return needed;
}
