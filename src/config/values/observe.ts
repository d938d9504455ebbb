import { isAbsolute } from 'node:path';
import type { Endpoint } from '../../model/endpoint.ts';
import { readHost } from './host.ts';
import { checkSocketPath, readPath, type ValueContext } from './path.ts';
import { BadValue, readInteger, readText, show } from './value.ts';

/** Where the daemon serves HTTP: `9180` and `localhost:9180` (this device alone), `192.168.1.5:9180`, `[::]:9180`, `*:9180`, or a Unix socket's path. */
export function readHttpListener(context: ValueContext): (raw: unknown) => Endpoint {
  return (raw) => {
    const text = typeof raw === 'number' ? String(raw) : readText(raw);
    if (/[/~$]/.test(text)) return { type: 'unix', path: checkSocketPath(readPath(context)(text)) };
    const [, bracketed, plain, port] = LISTENER.exec(text) ?? [];
    if (port === undefined)
      throw new BadValue(
        `must be an address and a port such as 127.0.0.1:9180, or the path of a socket, not ${show(raw)}`,
      );
    const host = bracketed ?? plain ?? 'localhost';
    return { type: 'tcp', host: host === '*' ? '' : readHost(host), port: readInteger(1, 65_535)(port) };
  };
}

const LISTENER = /^(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?(\d{1,5})$/;

/** An address of the web. What does not fit is not repeated: such an address is often a secret. */
export function readUrl(raw: unknown): string {
  const text = readText(raw);
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol) || text.length > MAX_URL)
    throw new BadValue('must be a URL such as https://hc-ping.com/UUID');
  if (/%(?![\dA-Fa-f]{2})/.test(url.username + url.password))
    throw new BadValue('must have %25 in place of each % of its user and password');
  return url.href;
}

const MAX_URL = 2000;

/** A program by its whole path, with arguments; no shell reads it. */
export function readArguments(raw: unknown): readonly string[] {
  const list = Array.isArray(raw) ? raw.map(readText) : [readText(raw)];
  const [program] = list;
  if (program === undefined) throw new BadValue('is empty');
  if (!isAbsolute(program))
    throw new BadValue(
      `must begin with the whole path of a program, and have each argument as an item of its own: [/usr/local/bin/alarm, --now]; not ${show(program)}`,
    );
  return list;
}
