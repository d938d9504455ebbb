import type { ForwardSpec } from '../tunnel/spec.ts';
import { type Field, listenEndpoint, type ReadPath, splitFields, targetEndpoint } from './endpoint.ts';
import { BadValue, isEmpty, readText, show } from './value.ts';

/**
 * A remote forward as `ssh -R` takes it, `[bind_address:]port:host:hostport` with a Unix socket on either side, or as
 * ssh_config(5) does, with a space between listener and target. `readPath` makes the path of a target absolute.
 */
export function readForward(raw: unknown, readPath: ReadPath): ForwardSpec {
  if (isEmpty(raw)) throw new BadValue('is empty');
  if (typeof raw !== 'string' && typeof raw !== 'number') {
    throw new BadValue(`must be a forward such as ${EXAMPLE}, not ${show(raw)}`);
  }
  const halves = readText(String(raw)).trim().split(/\s+/);
  const fields = halves.length > 2 ? null : splitFields(halves.join(':'));
  if (fields === null) throw notAForward(raw);
  const targetLength = fields.at(-1)?.isPath ? 1 : 2;
  const listen = listenEndpoint(fields.slice(0, -targetLength));
  const target = listen && targetEndpoint(fields.slice(-targetLength), readPath);
  if (target) return { kind: 'remote', listen, target };
  throw isDynamic(fields) ? new BadValue(NO_TARGET) : notAForward(raw);
}

const EXAMPLE = '8080:localhost:22';
const NO_TARGET = `names no target: dynamic remote forwards are not supported by this version; write it like ${EXAMPLE}`;

/** `-R port`, `-R bind:port` and `-R /socket`, which make ssh a SOCKS server. */
function isDynamic([first, second, ...more]: readonly Field[]): boolean {
  if (!first || more.length > 0) return false;
  return second ? !first.isPath && isNumber(second) : first.isPath || isNumber(first);
}

function isNumber({ text }: Field): boolean {
  return /^\d+$/.test(text);
}

function notAForward(raw: unknown): BadValue {
  const advice = /:.*:.*:.*:/.test(String(raw)) ? ' (IPv6 addresses need brackets: [::1])' : '';
  return new BadValue(`must be a forward such as ${EXAMPLE}, not ${show(raw)}${advice}`);
}
