import type { LookupAddress } from 'node:dns';
import { lookup, Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { systemClock } from '../../lib/async/clock.ts';
import { readText } from '../../lib/files/read-file.ts';
import { errorText } from '../../lib/text.ts';

/** Looks up the addresses of a name, of one family or of both (0), in the order in which they should be tried. */
export type Lookup = (host: string, family: 0 | 4 | 6) => Promise<readonly LookupAddress[]>;

/**
 * Uses getaddrinfo(3), so that hosts files and mDNS count. It cannot be cancelled, and without a network it may hold
 * one of Node's few threads for half a minute: so all requests for one name share a running look-up, or those of a long
 * outage would queue up without end. getaddrinfo keeps asking the name servers that it began with; where resolv.conf
 * names others meanwhile, those are asked beside it.
 */
export const systemLookup: Lookup = (host, family) => {
  const key = `${family} ${host}`;
  const answer = runningLookups.get(key) ?? lookUp(host, family).finally(() => runningLookups.delete(key));
  runningLookups.set(key, answer);
  return answer;
};

const runningLookups = new Map<string, Promise<readonly LookupAddress[]>>();

async function lookUp(host: string, family: 0 | 4 | 6): Promise<readonly LookupAddress[]> {
  const options = { all: true, family, order: 'verbatim' } as const;
  if (isIP(host) !== 0) return await lookup(host, options);
  const first = await nameServers();
  return await new Promise((resolve, reject) => {
    let cancel = () => {};
    let over = false;
    const checkNameServers = async () => {
      if ((await nameServers()) !== first) {
        const found = await askDirectly(host, family);
        if (found.length > 0) resolve(found);
      }
      if (!over) cancel = systemClock.timer(CHECK_MS, () => void checkNameServers());
    };
    cancel = systemClock.timer(CHECK_MS, () => void checkNameServers());
    lookup(host, options)
      .then(resolve, reject)
      .finally(() => {
        over = true;
        cancel();
      });
  });
}

const CHECK_MS = 1000;

async function nameServers(): Promise<string> {
  return await readText('/etc/resolv.conf').catch(errorText);
}

/**
 * Asks the present name servers without one of Node's threads; returns nothing where they do not answer, or do not know
 * the name.
 */
async function askDirectly(host: string, family: 0 | 4 | 6): Promise<readonly LookupAddress[]> {
  const resolver = new Resolver({ timeout: CHECK_MS, tries: 1 });
  const answers = await Promise.all([
    family === 6 ? [] : resolver.resolve4(host).catch(() => []),
    family === 4 ? [] : resolver.resolve6(host).catch(() => []),
  ]);
  return answers.flatMap((addresses, index) => addresses.map((address) => ({ address, family: index === 0 ? 4 : 6 })));
}
