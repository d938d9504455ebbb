import { type TunnelSpec, TUNNEL_NAME } from '../model/spec.ts';
import type { ConfigEnvironment } from './input/environment.ts';
import { FORWARD_KEYS, type JumpKeys, type TunnelKeys } from './schema/keys.ts';
import { readMapping, type Report } from './schema/mapping.ts';
import type { Findings } from './input/findings.ts';
import type { ValueContext } from './values/path.ts';
import { serverKey } from '../model/server-key.ts';
import { membersOf } from './resolve/members.ts';
import { resolveTunnel } from './resolve/resolve.ts';
import { defaultsSchema, type tunnelSchema } from './schema/schema.ts';
import { Reading } from './ssh-config/reading.ts';
import { isMapping, show } from './values/value.ts';

/** A tunnel as it was read. With problems, `flawed` is set, and defaults replace its invalid keys. */
export interface ReadTunnel {
  readonly spec: TunnelSpec;
  readonly flawed: boolean;
}

/** The keys that the tunnels of a file share. */
export interface ReadDefaults {
  readonly keys: TunnelKeys;
  readonly flawed: boolean;
}

/** Reads `defaults`; problems are reported. */
export function readDefaults(raw: unknown, context: ValueContext, report: Report): ReadDefaults {
  if (raw === undefined) return { keys: {}, flawed: false };
  const { note, flawed } = noting(report);
  const keys = readMapping(defaultsSchema(context), raw, ['defaults'], note);
  return { keys, flawed: flawed() };
}

/** Reads the tunnels of a file, each completed from ssh_config and the defaults; problems are reported. */
export async function readTunnels(
  raw: unknown,
  schema: TunnelSchema,
  defaults: ReadDefaults,
  env: ConfigEnvironment,
  findings: Findings,
  report: Report,
): Promise<ReadTunnel[]> {
  const tunnels: ReadTunnel[] = [];
  const reading = new Reading();
  // One after the other, so that problems of ssh_config have a stable order.
  for (const [name, tunnel] of entries(raw, report)) {
    const { note, flawed } = noting(report);
    const own = readTunnel(name, tunnel, schema, note);
    const specs: TunnelSpec[] = [];
    for (const member of membersOf(name, own, defaults.keys)) {
      const spec = await resolveTunnel(member.name, member.keys, {
        env,
        findings,
        reading,
        first: [],
        shared: sharedKeys(defaults.keys),
        reportKey: (key, message) => note(['tunnels', name, key], message),
      });
      specs.push(member.redundancy === undefined ? spec : { ...spec, redundancy: member.redundancy });
    }
    if (specs[0]?.forwards.length === 0 && !namesForwards(tunnel)) {
      note(['tunnels', name], 'needs a forward: add remoteForward', 'key');
    }
    if (specs.some(({ redundancy }) => redundancy !== undefined))
      checkServers(own, specs, (...problem) => note(['tunnels', name], ...problem));
    for (const spec of specs) tunnels.push({ spec, flawed: defaults.flawed || flawed() });
  }
  return tunnels;
}

/** Reports what several servers of a tunnel cannot have. */
function checkServers(
  own: TunnelKeys,
  specs: readonly TunnelSpec[],
  refuse: (message: string, at?: 'key') => void,
): void {
  if (own.servers !== undefined && own.host !== undefined)
    refuse('has host and servers: write the host as the first of the servers', 'key');
  if (specs.some(({ forwards }) => forwards.some(({ kind }) => kind !== 'remote')))
    refuse(
      'has several servers and a localForward or dynamicForward, whose listener on this device only one connection can have: give those a tunnel of their own',
      'key',
    );
  const keys = specs.map(serverKey);
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  if (twice !== undefined) refuse(`names a server twice: ${twice}`, 'key');
}

/** Jump hosts do not share host, port and password. */
function sharedKeys({
  servers: _servers,
  host: _host,
  port: _port,
  passwordFile: _password,
  ...keys
}: TunnelKeys): JumpKeys {
  return keys;
}

function namesForwards(raw: unknown): boolean {
  return isMapping(raw) && FORWARD_KEYS.some((key) => Object.hasOwn(raw, key));
}

type TunnelSchema = ReturnType<typeof tunnelSchema>;

/** Passes reports on, and records whether there were any. */
function noting(report: Report): { note: Report; flawed: () => boolean } {
  let flawed = false;
  const note: Report = (...problem) => {
    flawed = true;
    report(...problem);
  };
  return { note, flawed: () => flawed };
}

function entries(tunnels: unknown, report: Report): [string, unknown][] {
  if (tunnels === undefined) {
    report([], 'has no tunnels: it needs at least one under tunnels');
    return [];
  }
  if (tunnels === null || isMapping(tunnels)) {
    const found = Object.entries(tunnels ?? {});
    if (found.length === 0) report(['tunnels'], 'is empty: it needs at least one tunnel');
    if (found.length <= MAX_TUNNELS) return found;
    report(['tunnels'], `has ${found.length} tunnels: at most ${MAX_TUNNELS} can be in one file`);
    return [];
  }
  report(['tunnels'], `must be a mapping of names to tunnels, not ${show(tunnels)}`);
  return [];
}

/** Each is a connection of its own, and takes about a millisecond to read. */
const MAX_TUNNELS = 2000;

function readTunnel(name: string, raw: unknown, schema: TunnelSchema, report: Report): TunnelKeys {
  const path = ['tunnels', name];
  if (!TUNNEL_NAME.test(name)) {
    report(path, 'is not a valid name for a tunnel: use a-z, 0-9, - and _, beginning with a letter or a digit', 'key');
  }
  const keys = readMapping(schema, raw, path, report);
  for (const key of FORWARD_KEYS) {
    if (keys[key]?.length === 0) report([...path, key], 'is empty: it needs at least one forward');
  }
  return keys;
}
