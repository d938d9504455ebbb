import { addTunnel } from '../config/add-tunnels.ts';
import { type EditedValue, flow } from './edit-config.ts';

/** A tunnel to write into a configuration. */
export interface NewTunnel {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly identityFile: string;
  readonly userKnownHostsFile: string;
  readonly remoteForward: readonly string[];
  /** Further keys of the tunnel. */
  readonly more?: Readonly<Record<string, EditedValue>>;
}

/** A configuration with this tunnel only. `schema` is the URL of the JSON Schema, for editors; null for none. */
export function newConfig(tunnel: NewTunnel, schema: string | null): string {
  return `${schema === null ? '' : `# yaml-language-server: $schema=${schema}\n`}# Written by tunneld init. \`tunneld check\` checks this file, \`tunneld doctor\` the tunnels; \`tunneld reload\` applies changes.
# Keys are the options of ssh_config(5) with a small first letter; config.example.yaml explains each of them.
tunnels:
${block(tunnel, '  ')}`;
}

/** Adds the tunnel to an existing configuration; everything else, comments included, is unchanged. */
export function addToConfig(text: string, tunnel: NewTunnel): string {
  const { name, more, ...keys } = tunnel;
  return addTunnel(text, name, { ...keys, identitiesOnly: true, ...more }, (indent) => block(tunnel, indent));
}

function block(tunnel: NewTunnel, indent: string): string {
  const lines = [
    `${/^[a-z][a-z_-]+$/.test(tunnel.name) ? tunnel.name : quoted(tunnel.name)}:`,
    `  host: ${quoted(tunnel.host)}`,
    `  port: ${tunnel.port}`,
    `  user: ${quoted(tunnel.user)}`,
    `  # A key for this tunnel only. \`tunneld audit ${tunnel.name}\` shows what it can do on the server.`,
    `  identityFile: ${quoted(tunnel.identityFile)}`,
    ...(tunnel.more?.['identitiesOnly'] === undefined ? ['  identitiesOnly: yes'] : []),
    "  # Holds the server's host key. A server with another key is never connected to.",
    `  userKnownHostsFile: [${quoted(tunnel.userKnownHostsFile)}]`,
    '  # What the server listens on, and the target on this side.',
    '  remoteForward:',
    ...tunnel.remoteForward.map((forward) => `    - ${forwardLine(forward)}`),
    ...Object.entries(tunnel.more ?? {}).map(([key, value]) => `  ${key}: ${flow(value)}`),
  ];
  return lines.map((line) => `${indent}${line}\n`).join('');
}

/** A SOCKS proxy is written out, as configurations require. */
function forwardLine(forward: string): string {
  const [, listen] = SOCKS_FORWARD.exec(forward) ?? [];
  return listen === undefined ? quoted(forward) : `{ listen: ${quoted(listen)}, target: socks }`;
}

/** A SOCKS proxy as -R of init takes it: `1080:socks`. */
export const SOCKS_FORWARD = /^(.+):socks$/;

/** In single quotes, YAML treats only the quote itself as special. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
