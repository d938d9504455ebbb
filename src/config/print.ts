import { stringify } from 'yaml';
import { fieldOf, type Option, SERVER_OPTIONS, TUNNEL_OPTIONS } from '../model/options.ts';
import { type Endpoint, formatEndpoint, formatAddress } from '../model/endpoint.ts';
import type { Entry, ForwardSpec, ServerSpec, TunnelSpec } from '../model/spec.ts';
import { completeServer, completeTunnel } from './resolve/defaults.ts';
import type { Config } from '../model/config.ts';
import type { ConfigEnvironment } from './input/environment.ts';
import type { TunnelKeys } from './schema/keys.ts';
import { escapeTokens } from './values/path.ts';
import { SECTIONS } from './schema/file-options.ts';
import { printValue } from './schema/print-value.ts';
import { groupBy } from '../lib/maps.ts';

/** A configuration file for these tunnels, independent of ssh_config, with the keys that differ from the defaults. */
export function printConfig({ tunnels, log }: Pick<Config, 'tunnels' | 'log'>, env: ConfigEnvironment): string {
  const document = {
    tunnels: printTunnels(tunnels, env),
    ...(log.level === 'info' ? {} : { log: { level: log.level } }),
  };
  return stringify(document, { lineWidth: 0 });
}

/** The same with all other sections, so that it means the same for every user. */
export function printWhole(config: Config, env: ConfigEnvironment): string {
  const { metrics, heartbeat, onChange } = config;
  const document = {
    tunnels: printTunnels(config.tunnels, env),
    network: section(SECTIONS.network, config.network),
    log: section(SECTIONS.log, config.log),
    control: section(SECTIONS.control, config.control),
    ...(metrics.listen === null ? {} : { metrics: section(SECTIONS.metrics, metrics) }),
    ...(heartbeat.url === null ? {} : { heartbeat: section(SECTIONS.heartbeat, heartbeat) }),
    ...(onChange.command === null ? {} : { onChange: section(SECTIONS.onChange, onChange) }),
    stateDirectory: escapeTokens(config.stateDirectory),
  };
  return stringify(document, { lineWidth: 0 });
}

/** All that is set. */
function section(rows: Readonly<Record<string, Option>>, values: object): Record<string, unknown> {
  const unset = Object.fromEntries(Object.keys(values).map((field) => [field, null]));
  return changed(rows, values, unset, {});
}

function printTunnels(specs: readonly TunnelSpec[], env: ConfigEnvironment): Record<string, unknown> {
  const byTunnel = groupBy(specs, ({ redundancy, name }) => redundancy?.tunnel ?? name);
  return Object.fromEntries([...byTunnel].map(([name, members]) => [name, tunnelKeys(members, env)]));
}

/** The keys of a tunnel; its `members` are more than one where it has several servers. */
function tunnelKeys(members: readonly TunnelSpec[], env: ConfigEnvironment): Record<string, unknown> {
  const spec = members[0]!;
  const defaults = completeTunnel(spec.name, spec.host, {}, { jumps: [], entry: { type: 'direct' } }, env);
  const own = (parts: Readonly<Record<string, unknown>>) => changed(TUNNEL_OPTIONS, spec, defaults, parts);
  if (spec.redundancy === undefined)
    return { ...serverKeys(spec, env), ...own({ ...routeKeys(spec, env), ...forwardKeys(spec) }) };
  const { mode, afterMs, backMs } = spec.redundancy;
  const entries = members.map((member) => ({ ...serverKeys(member, env), ...routeKeys(member, env) }));
  const times = mode === 'all' ? {} : { after: afterMs / 1000, back: backMs / 1000 };
  return own({ servers: { [mode]: entries, ...times }, ...forwardKeys(spec) });
}

function serverKeys(spec: ServerSpec, env: ConfigEnvironment): Record<string, unknown> {
  const defaults = {
    ...completeServer(spec.host, {}, env),
    host: null,
    // The daemon may run as another user than this one.
    user: null,
    identityFiles: spec.identityFilesConfigured ? null : spec.identityFiles,
  };
  return changed(SERVER_OPTIONS, spec, defaults, {});
}

/** The options whose field differs from the default, as a file writes them. `parts` are the values of options without a field. */
function changed(
  rows: Readonly<Record<string, Option>>,
  spec: object,
  defaults: object,
  parts: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const [values, usual] = [spec, defaults] as Readonly<Record<string, unknown>>[];
  const written: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(rows)) {
    const field = fieldOf(name, option);
    if (field === null) {
      if (parts[name] !== undefined) written[name] = parts[name];
    } else if (JSON.stringify(values![field]) !== JSON.stringify(usual![field]))
      written[name] = printValue(option.kind, values![field]);
  }
  return written;
}

function routeKeys(spec: TunnelSpec, env: ConfigEnvironment): Partial<Record<keyof TunnelKeys, unknown>> {
  return {
    ...(spec.jumps.length === 0 ? {} : { proxyJump: spec.jumps.map((jump) => serverKeys(jump, env)) }),
    ...entryKeys(spec.entry),
  };
}

/** The options of a tunnel that have no field of their own, but for its route. */
function forwardKeys(spec: TunnelSpec): Partial<Record<keyof TunnelKeys, unknown>> {
  const forwards = (kind: ForwardSpec['kind']) =>
    oneOrMany(spec.forwards.filter((forward) => forward.kind === kind).map(forward));
  return {
    remoteForward: forwards('remote'),
    localForward: forwards('local'),
    dynamicForward: forwards('dynamic'),
    sshConfig: 'none',
  };
}

function oneOrMany(values: readonly unknown[]): unknown {
  return values.length > 1 ? values : values[0];
}

function entryKeys(entry: Entry): Record<string, unknown> {
  switch (entry.type) {
    case 'direct':
      return {};
    case 'command':
      return { proxyCommand: entry.command.replaceAll('%', '%%') };
    case 'http':
    case 'socks5': {
      const user = entry.user === null ? '' : `${encodeURIComponent(entry.user)}@`;
      return {
        proxy: `${entry.type}://${user}${formatAddress(entry)}`,
        ...(entry.passwordFile === null ? {} : { proxyPasswordFile: escapeTokens(entry.passwordFile) }),
      };
    }
  }
}

function forward({ kind, listen, target, proxyProtocol }: ForwardSpec): unknown {
  if (kind === 'dynamic') return endpoint(listen, escapeTokens);
  // Of paths of the server no tokens are expected.
  const [here, there] = kind === 'remote' ? [String, escapeTokens] : [escapeTokens, String];
  if (target.type === 'socks') return { listen: endpoint(listen, here), target: 'socks' };
  const halves = [endpoint(listen, here), endpoint(target, there)];
  if (proxyProtocol !== undefined) return { listen: halves[0], target: halves[1], proxyProtocol };
  return halves.some((half) => /\s/.test(half)) ? { listen: halves[0], target: halves[1] } : halves.join(':');
}

/** An endpoint with the separators of splitFields() escaped. */
function endpoint(value: Endpoint, printPath: (path: string) => string): string {
  if (value.type === 'tcp') return formatEndpoint(value);
  return printPath(value.path).replaceAll(/[\\:]/g, '\\$&');
}
