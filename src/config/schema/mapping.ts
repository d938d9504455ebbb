import * as z from 'zod/mini';
import { unknownKey } from './suggest.ts';
import { isMapping, show, transformed } from '../values/value.ts';

/** The keys and indexes that lead from the top of the file to a value. */
export type Path = readonly (string | number)[];

/** Records a problem at `path`; `message` continues a sentence that begins with the path. */
export type Report = (path: Path, message: string, at?: 'key' | 'value') => void;

/** The schema of a mapping with these keys and no others, all optional. */
export function keysOf<S extends z.core.$ZodShape>(shape: S) {
  return z.partial(z.strictObject(shape));
}

/** The same, as a value within another mapping: it is read as a whole or not at all. */
export function mapping<S extends z.core.$ZodShape>(shape: S) {
  const schema = keysOf(shape);
  return transformed(z.unknown(), (raw, context) => {
    const result = schema.safeParse(raw);
    if (result.success) return result.data;
    for (const { path, message, at } of findings(result.error, raw, Object.keys(shape), unknownKey)) {
      context.issues.push({ code: 'custom', path: [...path], message, params: { at }, input: raw });
    }
    return z.NEVER;
  });
}

/**
 * Reads a mapping, reports all problems, and returns the valid keys, so that later checks see as much as possible. `explain` makes the
 * message for an unknown key.
 */
export function readMapping<S extends z.ZodMiniObject>(
  schema: S,
  raw: unknown,
  path: Path,
  report: Report,
  explain: Explain = unknownKey,
): z.output<S> {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const bad = new Set<unknown>();
  for (const finding of findings(result.error, raw, Object.keys(schema.shape), explain)) {
    report([...path, ...finding.path], finding.message, finding.at);
    bad.add(finding.path[0]);
  }
  const good = isMapping(raw) ? Object.entries(raw).filter(([key]) => !bad.has(key)) : [];
  return schema.parse(Object.fromEntries(good));
}

type Explain = (key: string, known: readonly string[]) => string;

interface Finding {
  readonly path: Path;
  readonly message: string;
  readonly at: 'key' | 'value';
}

/** Finding a similar key takes a while. */
const MAX_EXPLAINED = 100;

/** zod's issues as our messages. Those of value() and mapping() are ours already. */
function findings(error: z.core.$ZodError, raw: unknown, known: readonly string[], explain: Explain): Finding[] {
  return error.issues.flatMap((issue): Finding[] => {
    const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key, index) => {
        const message = index < MAX_EXPLAINED ? explain(key, known) : 'is not a known key';
        return { path: [...path, key], message, at: 'key' };
      });
    }
    if (issue.code === 'custom') {
      return [{ path, message: issue.message, at: issue.params?.['at'] === 'key' ? 'key' : 'value' }];
    }
    const message = raw === null ? 'is empty' : `must be a mapping of keys, not ${show(raw)}`;
    return [{ path, message, at: 'value' }];
  });
}
