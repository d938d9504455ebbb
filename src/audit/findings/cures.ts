import type { Hole } from './hole.ts';

/** Which of the options and lines close this hole by themselves: those of the key's line alone, and those of sshd_config alone. */
export function curesOf(
  hole: Hole,
  options: readonly string[],
  block: readonly string[],
): { readonly authorizedKeys: readonly string[]; readonly sshdConfig: readonly string[] } {
  const [option, directives] = CURES[hole];
  const lines = block.map((line) => line.trim()).filter((line) => !ALLOWING.test(line));
  const wanted = options.filter((text) => option !== null && text.startsWith(option));
  return {
    authorizedKeys: option === 'restrict' ? [...wanted, 'port-forwarding'] : wanted,
    sshdConfig: lines.filter((line) => directives.some((directive) => line.startsWith(`${directive} `))).slice(0, 1),
  };
}

type Cure = readonly [
  option: 'restrict' | 'permitlisten=' | 'permitopen=' | 'command=' | null,
  directives: readonly string[],
];

const CURES: Readonly<Record<Hole, Cure>> = {
  command: ['command=', ['ForceCommand']],
  shell: ['command=', ['ForceCommand']],
  sftp: ['command=', ['ForceCommand']],
  terminal: ['restrict', ['PermitTTY']],
  agent: ['restrict', ['AllowAgentForwarding']],
  x11: ['restrict', ['X11Forwarding']],
  // No option of a key restricts these three.
  environment: [null, ['AcceptEnv']],
  'tunnel-device': [null, ['PermitTunnel']],
  'listen-public': [null, ['GatewayPorts']],
  'user-rc': ['restrict', ['PermitUserRC']],
  // The cure is to remove that line.
  'other-keys': [null, []],
  'other-accounts': [null, []],
  'connect-server': ['permitopen=', ['PermitOpen']],
  'connect-elsewhere': ['permitopen=', ['PermitOpen']],
  'connect-socket': ['permitopen=', ['PermitOpen', 'AllowStreamLocalForwarding']],
  'listen-port': ['permitlisten=', ['PermitListen']],
  'listen-everywhere': ['permitlisten=', ['PermitListen']],
  'listen-privileged': ['permitlisten=', ['PermitListen']],
  // permitlisten does not apply to sockets (remote_open_match in OpenSSH's channels.c).
  'listen-socket': [null, ['AllowStreamLocalForwarding']],
  password: [null, ['AuthenticationMethods']],
  'keyboard-interactive': [null, ['AuthenticationMethods']],
  'no-credentials': [null, ['AuthenticationMethods']],
};

/** A line that allows what the user's tunnels need closes nothing. */
const ALLOWING = / (?:yes|any)$/;
