import { choosePort } from '../server-rules/choose-port.ts';
import { escapeControls } from '../lib/text.ts';
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
  /** The user's own login on the server; null where it is not known, so that the tunnel's own stands there. */
  readonly via: { readonly user: string; readonly host: string; readonly port: number } | null;
  /** Further servers of the tunnel. */
  readonly others?: readonly Pick<TunnelSpec, 'host' | 'port' | 'user'>[];
  /** Lines of known_hosts about the servers. */
  readonly serverKeys: readonly string[];
}

/**
 * One block to paste into a shell: it writes a file of ~/.ssh/config.d with which `ssh ALIAS` reaches the device through the server, and
 * one with the host keys of both, so that nothing in between can impersonate either.
 */
export function clientText(
  spec: Pick<TunnelSpec, 'name' | 'host' | 'port' | 'user' | 'forwards'>,
  options: ClientOptions,
): string {
  const { host, port, target } = choosePort(spec);
  const alias = checkAlias(options.alias);
  const user = checkUser(options.user, 'the user');
  const own = checkUser(spec.user, "the tunnel's user");
  const server = options.via ?? { host: spec.host, port: spec.port, user: own };
  const others = (options.others ?? []).map((one) => ({ ...one, user: options.via?.user ?? one.user }));
  const servers = [server, ...others].map((one, index) => ({
    ...one,
    alias: `${alias}-server${index === 0 ? '' : index + 1}`,
  }));
  const file = `~/.ssh/config.d/${alias}`;
  return `# Paste this into a shell of your laptop: \`ssh ${alias}\` then reaches ${spec.name}. Pasted again, it changes nothing.
mkdir -p ~/.ssh/config.d && chmod 700 ~/.ssh && touch ~/.ssh/config
cat >${file}.conf <<'END_OF_CONFIG'
Host ${alias}
  HostName ${host}
  Port ${port}
  User ${user}
  HostKeyAlias ${alias}
  UserKnownHostsFile ${file}.known_hosts
${others.length === 0 ? `  ProxyJump ${alias}-server` : whicheverHasIt(servers.map((one) => one.alias))}

${options.via === null ? tunnelsUser(own, spec.name) : ''}${servers.map((one) => serverBlock(one, file)).join('\n\n')}
END_OF_CONFIG
cat >${file}.known_hosts <<'END_OF_KEYS'
${[...deviceKeys(alias, options.hostKeys, isLoopbackHost(target.host) ? null : formatEndpoint(target)), ...options.serverKeys.map(oneLine)].join('\n')}
END_OF_KEYS
grep -qxF 'Include config.d/*.conf' ~/.ssh/config || {
  { printf '%s\\n\\n' 'Include config.d/*.conf' && cat ~/.ssh/config; } >~/.ssh/config.d/new &&
    cat ~/.ssh/config.d/new >~/.ssh/config && rm ~/.ssh/config.d/new
}
# On the server itself: ssh -p ${port} ${user}@${host}
`;
}

/**
 * Asks all servers at once, and goes through the first one that has the device: where one is down, nothing waits for it. `ssh -W` shows
 * the greeting of the device's SSH server there, or ends. Where no server lets in without a question, the first is asked as usual.
 */
function whicheverHasIt(servers: readonly string[]): string {
  const look = 'ssh -o BatchMode=yes -o ConnectTimeout=10 -W %h:%p $s </dev/null | grep -q ^SSH-';
  const first = `$( { for s in ${servers.join(' ')}; do { exec 2>/dev/null; ${look} && echo $s; } & done; } | head -n 1 )`;
  return `  # Goes through whichever server has the device; that needs a key or an agent for each of them.
  ProxyCommand sh -c 's=${first}; exec ssh -W %h:%p \${s:-${servers[0]}}'`;
}

function serverBlock(
  { alias, host, port, user }: Pick<TunnelSpec, 'host' | 'port' | 'user'> & { readonly alias: string },
  file: string,
): string {
  return `Host ${alias}
  HostName ${permitHost(host, 'as-is').replaceAll(/[[\]]/g, '')}
  Port ${port}
  User ${checkUser(user, 'the user of the server')}
  UserKnownHostsFile ~/.ssh/known_hosts ${file}.known_hosts`;
}

function tunnelsUser(user: string, name: string): string {
  return `# Put your own user of the server in the place of ${user} (or give it with --via). Where the server was set up with
# \`tunneld server-setup ${name}\`, ${user} works too, with the tunnel's key.
`;
}

/** No line of a file ends our here-document. */
function oneLine(text: string): string {
  return escapeControls(text).replace(/^END_OF_KEYS$/, '');
}

/** The host keys of another machine behind the device (`elsewhere`) are unknown here. */
function deviceKeys(alias: string, hostKeys: readonly string[], elsewhere: string | null): readonly string[] {
  if (elsewhere !== null) {
    return [
      `# The tunnel leads to ${elsewhere}, whose host keys are unknown here: copy the lines of the .pub files in its /etc/ssh, and write`,
      `# ${alias} before the key type of each.`,
    ];
  }
  const lines = hostKeys.flatMap((text) => {
    const [, type, key] = HOST_KEY.exec(text) ?? [];
    return type === undefined || keyTypeOf(Buffer.from(key ?? '', 'base64')) !== type
      ? []
      : [`${alias} ${type} ${key}`];
  });
  return lines.length > 0
    ? lines
    : [
        `# No host key was found on this device: copy the lines of its SSH server's .pub files, and write ${alias} before the key type of each.`,
      ];
}

const HOST_KEY = /^([\w.@-]+) ([A-Za-z0-9+/]+=*)(?:\s|$)/;
