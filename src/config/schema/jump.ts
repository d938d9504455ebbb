import * as z from 'zod/mini';
import { readHost } from '../values/host.ts';
import type { JumpKeys } from './keys.ts';
import { mapping } from './mapping.ts';
import {
  BadValue,
  isMapping,
  preprocessed,
  readText,
  readWord,
  refuseBy,
  show,
  transformed,
  value,
} from '../values/value.ts';

/**
 * Jump hosts, the nearest first: `[user@]host[:port]` or `ssh://[user@]host[:port]`, several with commas or as a list (ssh_config(5),
 * ProxyJump); in a list also mappings of a server's keys. `serverShape` makes their schemas on demand, because they take memory. `none`
 * is an empty list.
 */
export function jumps(serverShape: () => Shape): z.ZodMiniType<JumpKeys[]> {
  const hop = serverEntry<JumpKeys>(serverShape);
  const few = z
    .array(hop)
    .check(z.refine(({ length }) => length <= MAX_JUMPS, `has more than ${MAX_JUMPS} jump hosts`));
  return preprocessed((raw) => listOf(raw).slice(0, MAX_JUMPS + 1), few);
}

/** More is a mistake, perhaps a loop. */
export const MAX_JUMPS = 8;

/** One server: `[user@]host[:port]`, or a mapping of its keys. */
export function serverEntry<Keys extends JumpKeys>(entryShape: () => Shape): z.ZodMiniType<Keys> {
  let shape: Shape | null = null;
  return transformed(z.unknown(), (raw, context): Keys => {
    const result = (isMapping(raw) ? entryMapping((shape ??= entryShape())) : value(readJump)).safeParse(raw);
    return result.success ? (result.data as Keys) : refuseBy(context, result.error, raw);
  });
}

export type Shape = Readonly<Record<string, z.ZodMiniType>>;

function entryMapping(shape: Shape) {
  return mapping(shape).check(z.refine((keys: JumpKeys) => keys.host !== undefined, 'needs a host'));
}

function listOf(raw: unknown): unknown[] {
  if (typeof raw === 'string' && raw.toLowerCase() === 'none') return [];
  if (typeof raw === 'string') return raw.split(',').map((hop) => hop.trim());
  return Array.isArray(raw) ? raw : [raw];
}

/** `[user@]host[:port]`, or the same as an ssh:// URI; absent parts are left out. */
export function readJump(raw: unknown): { host: string; user?: string; port?: number } {
  const text = readText(raw);
  const match = DESTINATION.exec(text);
  if (match === null) throw new BadValue(`must be a server such as user@host:22, not ${show(raw)}`);
  const [, uriUser, user = uriUser, bracketed, host = bracketed, port] = match;
  return {
    host: readHost(host),
    ...(user === undefined ? {} : { user: readWord(user) }),
    ...(port === undefined ? {} : { port: portIn(port) }),
  };
}

function portIn(digits: string): number {
  const port = Number(digits);
  if (port < 1 || port > 65_535) throw new BadValue(`has the port ${digits}: a port is a number from 1 to 65535`);
  return port;
}

const DESTINATION = /^(?:ssh:\/\/(?:([^@/]+)@)?|(?:(.+)@)?)(?:\[([^\]]+)\]|([^@:[\]/]+))(?::(\d+))?\/?$/;
