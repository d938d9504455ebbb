import { isMap, isNode, parseDocument } from 'yaml';

/** A tunnel that is to be written into a configuration. */
export interface NewTunnel {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly identityFile: string;
  readonly userKnownHostsFile: string;
  readonly remoteForward: readonly string[];
}

/** A configuration with this tunnel alone, with comments on what else there is: `schema` is the URL of the JSON Schema, for editors. */
export function newConfig(tunnel: NewTunnel, schema: string | null): string {
  return `${schema === null ? '' : `# yaml-language-server: $schema=${schema}\n`}# Written by tunneld init. \`tunneld check\` reads it, \`tunneld doctor\` tries it, \`tunneld reload\` applies it.
# Every key is explained in config.example.yaml; keys are the options of ssh_config(5) with a small first letter.
tunnels:
${block(tunnel, '  ')}`;
}

/** An existing configuration with this tunnel added; everything else, comments included, stays as it is. */
export function addToConfig(text: string, tunnel: NewTunnel): string {
  const document = parseDocument(text);
  const tunnels = document.get('tunnels');
  const [first] = isMap(tunnels) ? tunnels.items : [];
  if (!isMap(tunnels) || tunnels.flow === true || !isNode(first?.key) || !first.key.range || !tunnels.range) {
    const { name, ...keys } = tunnel;
    document.setIn(['tunnels', name], { ...keys, identitiesOnly: true });
    return document.toString({ lineWidth: 0 });
  }
  const start = first.key.range[0];
  const indent = ' '.repeat(start - (text.lastIndexOf('\n', start - 1) + 1));
  const end = tunnels.range[1];
  const before = text.slice(0, end).replace(/\n*$/, '\n');
  return `${before}${block(tunnel, indent)}${text.slice(end).replace(/^\n*/, '')}`;
}

function block(tunnel: NewTunnel, indent: string): string {
  const lines = [
    `${/^[a-z][a-z_-]+$/.test(tunnel.name) ? tunnel.name : quoted(tunnel.name)}:`,
    `  host: ${quoted(tunnel.host)}`,
    `  port: ${tunnel.port}`,
    `  user: ${quoted(tunnel.user)}`,
    `  # A key of its own: whoever has it can do on the server what \`tunneld audit ${tunnel.name}\` shows.`,
    `  identityFile: ${quoted(tunnel.identityFile)}`,
    '  identitiesOnly: yes',
    "  # The server's host key, as it was compared. Another one is never connected to.",
    `  userKnownHostsFile: [${quoted(tunnel.userKnownHostsFile)}]`,
    '  # What the server listens on, and where on this side that leads.',
    '  remoteForward:',
    ...tunnel.remoteForward.map((forward) => `    - ${forwardLine(forward)}`),
  ];
  return lines.map((line) => `${indent}${line}\n`).join('');
}

/** A SOCKS proxy is said in so many words. */
function forwardLine(forward: string): string {
  const [, listen] = SOCKS_FORWARD.exec(forward) ?? [];
  return listen === undefined ? quoted(forward) : `{ listen: ${quoted(listen)}, target: socks }`;
}

/** How a command line says it: `1080:socks`. */
export const SOCKS_FORWARD = /^(.+):socks$/;

/** In YAML's single quotes nothing is special but themselves. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
