import type { Access } from './access.ts';

/**
 * The options for a key's line in authorized_keys (sshd(8)) with which the key is good for this and nothing else. `restrict` alone
 * leaves commands: it is the forced one that takes them, with every shell and subsystem.
 */
export function keyOptions({ listens, opens, fallbackOpens }: Access): readonly string[] {
  return [
    'restrict',
    'port-forwarding',
    ...orElse(listens, [NO_LISTENER]).map((listen) => `permitlisten="${listen}"`),
    ...(opens === 'any' ? [] : orElse([...new Set([...opens, ...fallbackOpens])], [NO_LISTENER])).map(
      (open) => `permitopen="${open}"`,
    ),
    `command="${NO_PROGRAM}"`,
  ];
}

/** One option of sshd_config(5). */
export type Directive = readonly [name: string, value: string];

/**
 * The same for a Match block, for all that a user does on the server: the key's options hold for this key, these for whatever way in
 * there may be. Each method is one that is enough, such as `publickey` or `publickey,password`; without any nothing is said of the
 * login.
 */
export function matchOptions(access: Access, methods: readonly string[]): readonly Directive[] {
  const { listens, opens, socketListener, socketTarget } = access;
  return [
    ...(methods.length === 0 ? [] : [['AuthenticationMethods', methods.join(' ')] as const]),
    ['DisableForwarding', 'no'],
    // Where it forbids a side, it forbids Unix sockets on that side, too (channel_disable_admin in OpenSSH's channels.c).
    ['AllowTcpForwarding', sides(listens.length > 0 || socketListener, opens === 'any' || opens.length > 0)],
    ['PermitListen', orElse(listens, ['none']).join(' ')],
    ['PermitOpen', opens === 'any' ? 'any' : orElse(opens, ['none']).join(' ')],
    ['GatewayPorts', access.publicListener ? 'clientspecified' : 'no'],
    ['AllowStreamLocalForwarding', sides(socketListener, socketTarget)],
    // Else a socket that a dead connection left there would be in the way of the next one.
    ...(socketListener ? [['StreamLocalBindUnlink', 'yes'] as const] : []),
    ['AllowAgentForwarding', 'no'],
    ['X11Forwarding', 'no'],
    ['PermitTunnel', 'no'],
    ['PermitTTY', 'no'],
    ['PermitUserRC', 'no'],
    ['AcceptEnv', NO_VARIABLE],
    ['ForceCommand', NO_PROGRAM],
  ];
}

/** The block as it stands in sshd_config. In a name, what a pattern or a list is made of is written as any one character. */
export function matchBlock(user: string, options: readonly Directive[]): readonly string[] {
  const name = user.replaceAll(/[*!,]/g, '?');
  return [
    `Match User ${/[\s"'#\\]/.test(name) ? `"${name.replaceAll(/["\\]/g, '?')}"` : name}`,
    ...options.map(([option, value]) => `  ${option} ${value}`),
  ];
}

/** It fails, silently, whatever the shell of the user. */
const NO_PROGRAM = 'false';

/** In a block, AcceptEnv replaces what is said for all (copy_set_server_options in OpenSSH's servconf.c), and it has no word for "none". */
const NO_VARIABLE = 'NONE';

/** authorized_keys has no word for "none": a name that never exists (RFC 6761 section 6.4) allows nothing, and so forbids the rest. */
const NO_LISTENER = 'none.invalid:1';

/** In the words of AllowTcpForwarding and AllowStreamLocalForwarding. */
function sides(remote: boolean, local: boolean): string {
  if (remote) return local ? 'yes' : 'remote';
  return local ? 'local' : 'no';
}

function orElse(list: readonly string[], instead: readonly string[]): readonly string[] {
  return list.length === 0 ? instead : list;
}
