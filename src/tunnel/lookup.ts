import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';

/** The addresses of a name, of one family or of both (0), in the order in which they should be tried. */
export type Lookup = (host: string, family: 0 | 4 | 6) => Promise<readonly LookupAddress[]>;

/**
 * getaddrinfo(3), so that hosts files and mDNS count. It cannot be cancelled, and without a network it may hold one of Node's few
 * threads for half a minute: whoever asks for a name that is still being looked up waits for the same answer, or the questions
 * of a long outage would queue up without end.
 */
export const systemLookup: Lookup = (host, family) => {
  const key = `${family} ${host}`;
  const running = runningLookups.get(key);
  if (running !== undefined) return running;
  const answer = lookup(host, { all: true, family, order: 'verbatim' }).finally(() => runningLookups.delete(key));
  runningLookups.set(key, answer);
  return answer;
};

const runningLookups = new Map<string, Promise<readonly LookupAddress[]>>();
