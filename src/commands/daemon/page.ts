import { networkInterfaces } from 'node:os';
import type { PageAddress } from '../../control/protocol.ts';
import { UserError } from '../../lib/user-error.ts';
import { printable } from '../../lib/text.ts';
import {
  formatEndpoint,
  isForThisDevice,
  isWildcardHost,
  type Endpoint,
  type TcpEndpoint,
} from '../../model/endpoint.ts';
import { request } from '../find/daemon-request.ts';
import { report } from '../text/report.ts';

/** Prints the address of the page, with a link that lets one browser in where a token is needed; on stderr, how to get there. */
export async function page(config: string | null): Promise<void> {
  const { listen, problem, key } = await request(config, { command: 'page' }, null);
  if (listen === null)
    throw new UserError(
      'no page is served: add `metrics: { listen: 127.0.0.1:9180 }` to the configuration and run `tunneld reload`',
    );
  if (problem !== null) throw new UserError(`no page is served: ${problem}`);
  process.stdout.write(`${addressOf(listen, key)}\n`);
  for (const line of remarksOn(listen, key)) report(line);
}

/** Pure but for the addresses of this device. */
function addressOf(listen: Endpoint, key: string | null): string {
  const query = key === null ? '' : `?key=${key}`;
  if (listen.type === 'unix') return `http://localhost:${FORWARDED_PORT}/${query}`;
  const host = isWildcardHost(listen.host) ? ownAddress() : listen.host;
  return `http://${formatEndpoint({ ...listen, host })}/${query}`;
}

function remarksOn(listen: Endpoint, key: PageAddress['key']): readonly string[] {
  return [
    ...(isForThisDevice(listen)
      ? [`from another machine: ssh -L ${forwardTo(listen)} THIS-DEVICE, and open the same address there`]
      : []),
    ...(key === null ? [] : ['the link works once, within 10 minutes; the browser then keeps a cookie']),
  ];
}

function forwardTo(listen: Endpoint): string {
  if (listen.type === 'unix') return `${FORWARDED_PORT}:${printable(listen.path)}`;
  return `${listen.port}:${formatEndpoint(listen)}`;
}

/** Where a Unix socket is forwarded to: the port of the example configuration. */
const FORWARDED_PORT = 9180;

/** The first address under which others reach this device. */
function ownAddress(): TcpEndpoint['host'] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outside = all.filter(({ internal }) => !internal);
  return (outside.find(({ family }) => family === 'IPv4') ?? outside[0])?.address ?? 'localhost';
}
