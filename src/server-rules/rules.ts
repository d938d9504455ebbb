import type { Access } from './access.ts';

/**
 * The options of a key's line in authorized_keys (sshd(8)) that limit the key to this access. `restrict` does not forbid commands: the
 * forced command replaces them, and every shell and subsystem.
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
 * The same for a Match block, which limits the user however it logs in, not only with this key. Each of `methods` is sufficient, such
 * as `publickey` or `publickey,password`; an empty list leaves AuthenticationMethods out.
 */
export function matchOptions(access: Access, methods: readonly string[]): readonly Directive[] {
  const { listens, opens, socketListener, socketTarget } = access;
  return [
    ...(methods.length === 0 ? [] : [['AuthenticationMethods', methods.join(' ')] as const]),
    ['DisableForwarding', 'no'],
    // It applies to Unix sockets too (channel_disable_admin in OpenSSH's channels.c).
    ['AllowTcpForwarding', sides(listens.length > 0 || socketListener, opens === 'any' || opens.length > 0)],
    ['PermitListen', orElse(listens, ['none']).join(' ')],
    ['PermitOpen', opens === 'any' ? 'any' : orElse(opens, ['none']).join(' ')],
    ['GatewayPorts', access.publicListener ? 'clientspecified' : 'no'],
    ['AllowStreamLocalForwarding', sides(socketListener, socketTarget)],
    // Otherwise the socket of a dead connection would block the next one.
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

/** The block for sshd_config. In the user's name, characters of patterns and lists are replaced by `?`. */
export function matchBlock(user: string, options: readonly Directive[]): readonly string[] {
  const name = user.replaceAll(/[*!,]/g, '?');
  return [
    `Match User ${/[\s"'#\\]/.test(name) ? `"${name.replaceAll(/["\\]/g, '?')}"` : name}`,
    ...options.map(([option, value]) => `  ${option} ${value}`),
  ];
}

/** It fails silently with every shell. */
const NO_PROGRAM = 'false';

/** AcceptEnv has no keyword for "none". In a block it replaces the global value (copy_set_server_options in OpenSSH's servconf.c). */
const NO_VARIABLE = 'NONE';

/** authorized_keys has no keyword for "none": a name that never exists (RFC 6761 section 6.4) allows nothing. */
const NO_LISTENER = 'none.invalid:1';

/** A value of AllowTcpForwarding or AllowStreamLocalForwarding. */
function sides(remote: boolean, local: boolean): string {
  if (remote) return local ? 'yes' : 'remote';
  return local ? 'local' : 'no';
}

function orElse(list: readonly string[], instead: readonly string[]): readonly string[] {
  return list.length === 0 ? instead : list;
}
