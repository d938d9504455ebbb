import { z } from 'zod';
import { readHost } from './host.ts';
import { mapping } from './mapping.ts';
import type { Place } from './path-value.ts';
import { serverKeys } from './server-keys.ts';
import { BadValue, isMapping, readInteger, readText, readWord, show, value } from './value.ts';

/** A server to go through, as it was written: what it leaves out comes from elsewhere. */
export type JumpKeys = z.output<ReturnType<typeof jumpMapping>>;

/**
 * The servers to go through, the nearest first: `[user@]host[:port]` or `ssh://[user@]host[:port]`, several with commas or as a list
 * (ssh_config(5), ProxyJump); in a list also mappings of a server's keys. `none` is an empty list.
 */
export function jumps(place: Place): z.ZodType<JumpKeys[]> {
  const hop = z.unknown().transform((raw, context): JumpKeys => {
    const result = (isMapping(raw) ? jumpMapping(place) : value(readJump)).safeParse(raw);
    if (result.success) return result.data;
    for (const issue of result.error.issues) context.addIssue({ ...issue });
    return z.NEVER;
  });
  return z.preprocess((raw) => listOf(raw), z.array(hop));
}

function jumpMapping(place: Place) {
  return mapping(serverKeys(place)).transform((keys, context) => {
    if (keys.host !== undefined) return keys;
    context.addIssue('needs a host');
    return z.NEVER;
  });
}

function listOf(raw: unknown): unknown[] {
  if (typeof raw === 'string' && raw.toLowerCase() === 'none') return [];
  if (typeof raw === 'string') return raw.split(',').map((hop) => hop.trim());
  return Array.isArray(raw) ? raw : [raw];
}

/** `[user@]host[:port]`, or the same as a URI of the scheme ssh; what is not named is absent. */
export function readJump(raw: unknown): { host: string; user?: string; port?: number } {
  const text = readText(raw);
  const match = DESTINATION.exec(text);
  if (match === null) throw new BadValue(`must be a server such as user@host:22, not ${show(raw)}`);
  const [, uriUser, user = uriUser, bracketed, host = bracketed, port] = match;
  return {
    host: readHost(host),
    ...(user === undefined ? {} : { user: readWord(user) }),
    ...(port === undefined ? {} : { port: readInteger(1, 65_535)(port) }),
  };
}

const DESTINATION = /^(?:ssh:\/\/(?:([^@/]+)@)?|(?:(.+)@)?)(?:\[([^\]]+)\]|([^@:[\]/]+))(?::(\d+))?\/?$/;
