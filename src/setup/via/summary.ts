import { KEYS_FOLDER, type ServerSetup, SPARE_FILE } from '../../server-rules/server-setup.ts';
import type { ServerLook } from './look.ts';

/** What the script will change on the server, in about ten lines. `login` is whose login runs it. */
export function summaryOf(
  setup: ServerSetup,
  { root, user, system }: ServerLook,
  login: string,
  spare = false,
): readonly string[] {
  const { user: name, options, tunnels, notes } = setup;
  const value = (option: string) => options.find(([key]) => key === option)?.[1] ?? '';
  const opens = value('PermitOpen');
  return [
    `on the server, as ${login}${root === 'is' ? '' : ' with sudo'}:`,
    user === null
      ? `  user ${name}: is created, without a shell, a password or a home directory`
      : `  user ${name}: exists; ${user.setUpFor === null ? 'from now on it can log in for this tunnel only' : 'its setup is renewed'}`,
    `  ${KEYS_FOLDER}/${name}: ${setup.keyLines.length === 1 ? 'the key of this device' : `${setup.keyLines.length} keys of this device`}, which may only`,
    `    listen on: ${value('PermitListen')}`,
    `    connect to: ${opens}`,
    '    and run no command, no shell, no other forward',
    `  sshd: a block of ${options.length} settings for this user alone (/etc/ssh/sshd_config.d/00-tunneld-${name}.conf, or sshd_config itself)`,
    `  sshd -t and sshd -T check it, then ${system === 'macos' ? 'the next connection reads it' : 'sshd reloads; open connections stay'}`,
    ...(spare ? [`  ${SPARE_FILE}: is made where it is missing, for root alone; no line has sshd use it`] : []),
    '  where a step fails, all changes are reverted',
    `  to undo it later: tunneld server-setup ${tunnels[0]} --undo`,
    ...notes.map((note) => `  note: ${note}`),
  ];
}
