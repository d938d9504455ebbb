import type { TunnelSpec } from '../tunnel/spec.ts';
import type { ConfigEnvironment } from './environment.ts';
import { completeTunnel } from './tunnel.ts';
import { readMapping, type Report } from './mapping.ts';
import type { Place } from './path-value.ts';
import { defaultsSchema, type TunnelKeys, type tunnelSchema } from './schema.ts';
import { isMapping, show } from './value.ts';

/** A tunnel as it was read. Where something is wrong with it, defaults stand in and `flawed` is set. */
export interface ReadTunnel {
  readonly spec: TunnelSpec;
  readonly flawed: boolean;
}

/** What the tunnels of a file have in common. */
export interface ReadDefaults {
  readonly keys: TunnelKeys;
  readonly flawed: boolean;
}

/** The file's `defaults`, where it has any; what is wrong is reported. */
export function readDefaults(raw: unknown, place: Place, report: Report): ReadDefaults {
  if (raw === undefined) return { keys: {}, flawed: false };
  const { note, flawed } = noting(report);
  const keys = readMapping(defaultsSchema(place), raw, ['defaults'], note);
  return { keys, flawed: flawed() };
}

/** The tunnels of a file, each with its defaults filled in; what is wrong is reported. */
export function readTunnels(
  raw: unknown,
  schema: TunnelSchema,
  defaults: ReadDefaults,
  env: ConfigEnvironment,
  report: Report,
): ReadTunnel[] {
  return entries(raw, report).map(([name, tunnel]) => {
    const { note, flawed } = noting(report);
    const keys = readTunnel(name, tunnel, schema, note);
    return { spec: completeTunnel(name, { ...defaults.keys, ...keys }, env), flawed: defaults.flawed || flawed() };
  });
}

type TunnelSchema = ReturnType<typeof tunnelSchema>;

/** Hands reports on, and remembers whether there were any. */
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
    return found;
  }
  report(['tunnels'], `must be a mapping of names to tunnels, not ${show(tunnels)}`);
  return [];
}

function readTunnel(name: string, raw: unknown, schema: TunnelSchema, report: Report): TunnelKeys {
  const path = ['tunnels', name];
  if (!NAME.test(name)) {
    report(path, 'is no name for a tunnel: use a-z, 0-9, - and _, and begin with a letter or a digit', 'key');
  }
  const keys = readMapping(schema, raw, path, report);
  if (isMapping(raw) && !Object.hasOwn(raw, 'remoteForward')) report(path, 'needs a forward: add remoteForward', 'key');
  if (keys.remoteForward?.length === 0) report([...path, 'remoteForward'], 'is empty: it needs at least one forward');
  return keys;
}

const NAME = /^[a-z0-9][a-z0-9_-]*$/;
