import { choosePort } from '../server-rules/choose-port.ts';
import { permitHost } from '../server-rules/permit-host.ts';
import { keyTypeOf } from '../connection/known-hosts/key-blob.ts';
import { formatEndpoint, isLoopbackHost } from '../model/endpoint.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { checkAlias, checkUser } from '../server-rules/names.ts';

export interface ClientOptions {
  /** The user to log in as on the device. */
  readonly user: string;
  readonly alias: string;
  /** The device's own host keys, as its `.pub` files hold them. */
  readonly hostKeys: readonly string[];
}

/** The lines of ~/.ssh with which `ssh ALIAS` reaches the device through the server. */
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
  return `# 1. Add to ~/.ssh/config, to reach ${spec.name} with \`ssh ${alias}\`:

# ProxyJump names a user of the server that may connect to ${listener} from there. Put your own user of the server in place of
# ${jumpUser}. Where the server was set up with \`tunneld server-setup ${spec.name}\`, ${jumpUser} works too, with the tunnel's key.
Host ${alias}
  HostName ${host}
  Port ${port}
  User ${user}
  HostKeyAlias ${alias}
  ProxyJump ${jumpUser}@${server}

# On the server itself: ssh -p ${port} ${user}@${host}

# 2. Add to ~/.ssh/known_hosts, so that neither the server nor a host in between can impersonate the device:

${knownHosts(alias, options.hostKeys, isLocal ? null : formatEndpoint(target))}
`;
}

/** The host keys of another machine behind the device (`elsewhere`) are unknown here. */
function knownHosts(alias: string, hostKeys: readonly string[], elsewhere: string | null): string {
  if (elsewhere !== null) {
    return `# The tunnel leads to ${elsewhere}, whose host keys are unknown here: copy the lines of the .pub files in its /etc/ssh, and write\n# ${alias} before the key type of each.`;
  }
  const lines = hostKeys.flatMap((text) => {
    const [, type, key] = HOST_KEY.exec(text) ?? [];
    return type === undefined || keyTypeOf(Buffer.from(key ?? '', 'base64')) !== type
      ? []
      : [`${alias} ${type} ${key}`];
  });
  return lines.length > 0
    ? lines.join('\n')
    : `# No host key was found on this device: copy the lines of its SSH server's .pub files, and write ${alias} before the key type of each.`;
}

const HOST_KEY = /^([\w.@-]+) ([A-Za-z0-9+/]+=*)(?:\s|$)/;
