import { choosePort } from '../server-rules/choose-port.ts';
import { permitHost } from '../server-rules/permit-host.ts';
import { keyTypeOf } from '../connection/known-hosts/key-blob.ts';
import { formatEndpoint, isLoopbackHost } from '../model/endpoint.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { checkAlias, checkUser } from '../server-rules/names.ts';

export interface ClientOptions {
  /** Who logs in on the device. */
  readonly user: string;
  readonly alias: string;
  /** The device's own host keys as its `.pub` files have them. */
  readonly hostKeys: readonly string[];
}

/** What people put into their own files to reach the device by name, through the server. */
export function clientText(
  spec: Pick<TunnelSpec, 'name' | 'host' | 'port' | 'user' | 'forwards'>,
  options: ClientOptions,
): string {
  const { host, port, target } = choosePort(spec);
  const alias = checkAlias(options.alias);
  const user = checkUser(options.user, 'the user');
  const jumpUser = checkUser(spec.user, "the tunnel's user");
  const server = `${permitHost(spec.host, 'as-is')}:${spec.port}`;
  const listener = formatEndpoint({ type: 'tcp', host, port });
  const isLocal = isLoopbackHost(target.host);
  return `# 1. Into ~/.ssh/config of whoever is to reach ${spec.name} with \`ssh ${alias}\`:

# ProxyJump names a user of the server who may connect to ${listener} from there. ${jumpUser} is one if the server was set up with
# \`tunneld server-setup ${spec.name}\`, for those who hold the tunnel's key; write your own user of the server in its place
# if you have one.
Host ${alias}
  HostName ${host}
  Port ${port}
  User ${user}
  HostKeyAlias ${alias}
  ProxyJump ${jumpUser}@${server}

# On the server itself: ssh -p ${port} ${user}@${host}

# 2. Into ~/.ssh/known_hosts, so that neither the server nor anybody on the way can pass for the device:

${knownHosts(alias, options.hostKeys, isLocal ? null : formatEndpoint(target))}
`;
}

/** Of another machine behind the device (`elsewhere`) the keys are not known here. */
function knownHosts(alias: string, hostKeys: readonly string[], elsewhere: string | null): string {
  if (elsewhere !== null) {
    return `# The tunnel leads on to ${elsewhere}, whose host keys are not kept here: take the .pub files in its /etc/ssh, and write ${alias}\n# before the type of each.`;
  }
  const lines = hostKeys.flatMap((text) => {
    const [, type, key] = HOST_KEY.exec(text) ?? [];
    return type === undefined || keyTypeOf(Buffer.from(key ?? '', 'base64')) !== type
      ? []
      : [`${alias} ${type} ${key}`];
  });
  return lines.length > 0
    ? lines.join('\n')
    : `# No host key was found on this device: take the .pub files of its SSH server, and write ${alias} before the type of each.`;
}

const HOST_KEY = /^([\w.@-]+) ([A-Za-z0-9+/]+=*)(?:\s|$)/;
