import { decodePercent } from '../../lib/text.ts';
import type { ProxyEntry } from '../../model/spec.ts';
import { readHost } from './host.ts';
import { BadValue, readInteger, readText, readWord } from './value.ts';

export type WrittenProxy = Omit<ProxyEntry, 'passwordFile'>;

/** A proxy: `http://[user@]host[:port]` or `socks5://[user@]host[:port]`; null for none. */
export function readProxy(raw: unknown): WrittenProxy | null {
  const text = readText(raw);
  if (text.toLowerCase() === 'none') return null;
  const match = PROXY.exec(text);
  // The text is not repeated: it may contain a password.
  if (match === null) throw new BadValue(`must be a proxy such as ${EXAMPLE} or socks5://proxy:1080`);
  const [, scheme = '', credentials, bracketed, host = bracketed, port] = match;
  const type = SCHEMES[scheme.toLowerCase()];
  if (type === undefined) {
    throw new BadValue(`must begin with http:// or socks5://, the supported kinds of proxies`);
  }
  if (credentials?.includes(':')) {
    throw new BadValue(
      'must not contain a password: put it into a file with mode 0600, and name that file with proxyPasswordFile',
    );
  }
  return {
    type,
    host: readHost(host),
    port: port === undefined ? DEFAULT_PORTS[type] : readInteger(1, 65_535)(port),
    user: credentials === undefined ? null : readWord(decodePercent(credentials)),
  };
}

const EXAMPLE = 'http://user@proxy:3128';
const PROXY = /^([a-z][a-z0-9+.-]*):\/\/(?:([^@/]*)@)?(?:\[([^\]]+)\]|([^@:/[\]]+))(?::(\d+))?\/?$/i;

/** With socks5h the proxy resolves the name, as it always does here. */
const SCHEMES: Readonly<Record<string, ProxyEntry['type']>> = { http: 'http', socks5: 'socks5', socks5h: 'socks5' };

const DEFAULT_PORTS = { http: 3128, socks5: 1080 } as const;
