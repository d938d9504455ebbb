import * as z from 'zod/mini';
import { FAILOVER } from '../../model/redundancy.ts';
import { readDurationFrom } from '../values/duration.ts';
import { isMapping, refuse, refuseBy, transformed, value } from '../values/value.ts';
import { serverEntry, type Shape } from './jump.ts';
import type { EntryKeys, WrittenServers } from './keys.ts';
import { mapping } from './mapping.ts';

/**
 * The servers of a tunnel: a list, which is for failover, or a mapping of `failover` or `all` to one. `entryShape` makes the schemas of an
 * entry's keys on demand, because they take memory.
 */
export function servers(entryShape: () => Shape): z.ZodMiniType<WrittenServers> {
  const entries = z
    .array(serverEntry<EntryKeys>(entryShape))
    .check(
      z.refine(({ length }) => length > 0 && length <= MAX_SERVERS, `must have between 1 and ${MAX_SERVERS} servers`),
    );
  const modes = mapping({
    failover: entries,
    all: entries,
    after: value(readDurationFrom(1)),
    back: value(readDurationFrom(1)),
  });
  const written = transformed(modes, ({ failover, all, after, back }, context): WrittenServers => {
    if ((failover === undefined) === (all === undefined))
      return refuse(context, 'must have either failover or all, with a list of servers', null);
    if (all !== undefined && (after ?? back) !== undefined) return refuse(context, AFTER_WITH_ALL, null);
    const times = { afterMs: after ?? FAILOVER.afterMs, backMs: back ?? FAILOVER.backMs };
    return all === undefined
      ? { mode: 'failover', entries: failover!, ...times }
      : { mode: 'all', entries: all, ...times };
  });
  const list = transformed(entries, (found): WrittenServers => ({ mode: 'failover', entries: found, ...FAILOVER }));
  return transformed(z.unknown(), (raw, context) => {
    const result = (Array.isArray(raw) ? list : written).safeParse(raw);
    if (result.success) return result.data;
    if (!isMapping(raw) && !Array.isArray(raw))
      return refuse(context, 'must be a list of servers, such as [a.example.org, b.example.org]', raw);
    return refuseBy(context, result.error, raw);
  });
}

const AFTER_WITH_ALL = 'has after or back, which are for failover: with all, every server has the tunnel all the time';

/** More is a mistake. */
export const MAX_SERVERS = 8;
