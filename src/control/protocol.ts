import { basename, dirname, join } from 'node:path';
import * as z from 'zod/mini';
import type { Endpoint } from '../model/endpoint.ts';
import type { Plan } from '../supervisor/plan-change.ts';
import type { HistoryDocument } from '../history/document.ts';
import type { StatusDocument } from '../status/document.ts';
import { orElse } from '../lib/or-else.ts';

/** One request a connection, as a line of JSON; the answer is a line of JSON, after `logs` followed by the log lines themselves. */
export type Request = z.infer<typeof requestSchema>;

export type RequestOf<C extends Request['command']> = Extract<Request, { command: C }>;

/** A day; a longer trial is forgotten. */
export const MAX_TRIAL_MS = 86_400_000;

const name = z.nullable(z.string().check(z.maxLength(100)));
const requestSchema = z.discriminatedUnion('command', [
  // With `connections` also those that are open, which grow with the visitors.
  z.strictObject({ command: z.literal('status'), connections: z.optional(z.boolean()) }),
  // Outages that reach into so many milliseconds before now.
  z.strictObject({ command: z.literal('history'), name, sinceMs: z.int().check(z.minimum(1)) }),
  z.strictObject({
    command: z.literal('logs'),
    name,
    lines: z.int().check(z.minimum(0), z.maximum(100_000)),
    follow: z.boolean(),
  }),
  z.strictObject({ command: z.literal('reload') }),
  // `take` is a person's decision that the tunnel is to have its listeners, even where another device had them.
  z.strictObject({ command: z.literal('retry'), name, take: z.optional(z.boolean()) }),
  // A name and not a path: only a user who may write beside the configuration can bring one in.
  z.strictObject({
    command: z.literal('apply'),
    candidate: z.string().check(z.regex(/^[a-z0-9]{1,40}$/)),
    withinMs: z.int().check(z.minimum(1000), z.maximum(MAX_TRIAL_MS)),
  }),
  z.strictObject({ command: z.literal('confirm') }),
  // Where the page is, with a new link to it.
  z.strictObject({ command: z.literal('page') }),
]);

export type Answer<T> =
  | { readonly ok: true; readonly result: T }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };

export type ErrorCode = 'bad-request' | 'no-such-tunnel' | 'config-invalid' | 'not-now' | 'internal';

/** What each command answers. */
export interface Results {
  readonly status: StatusDocument;
  readonly history: HistoryDocument;
  readonly logs: null;
  readonly reload: ReloadResult;
  /** The tunnels that waited. */
  readonly retry: readonly string[];
  readonly apply: TrialResult;
  readonly confirm: null;
  readonly page: PageAddress;
}

/** Where a browser finds the page. */
export interface PageAddress {
  /** Null where the configuration names no listener. */
  readonly listen: Endpoint | null;
  /** Why nothing listens there, or null. */
  readonly problem: string | null;
  /** Lets one browser in, once; null where no key is needed. */
  readonly key: string | null;
}

export interface ReloadResult {
  readonly plan: Plan;
  /** Changes that take effect only at the next start, as sentences. */
  readonly notes: readonly string[];
}

export interface TrialResult extends ReloadResult {
  /** When it ends, in milliseconds since 1970. */
  readonly until: number;
}

/** The socket beside one that a group may use, which only its owner and root may use. */
export function ownerSocket(path: string): string {
  return join(dirname(path), `owner-${basename(path)}`);
}

/** The longest request that is read, in bytes. */
export const MAX_REQUEST = 4096;

/** Null for anything that is not a request. */
export function parseRequest(line: string): Request | null {
  return requestSchema.safeParse(orElse(() => JSON.parse(line) as unknown, null)).data ?? null;
}
