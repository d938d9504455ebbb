import { matchesGlob } from '../../lib/glob.ts';

/** What an entry of permitopen, permitlisten, PermitOpen or PermitListen covers: a host and a port, either of them `*` for any. */
export interface Extent {
  readonly host: string;
  readonly port: string;
}

/** `localhost:80`, `[::1]:*`, `[/run/a.sock]:*`; a port alone is one of any host, as permitlisten has it. */
export function readExtent(text: string): Extent {
  const [, bracketed, host, port] = /^(?:\[(.*)\]|(.*)):([^:]*)$/.exec(text) ?? [];
  return port === undefined ? { host: '*', port: text } : { host: bracketed ?? host ?? '', port };
}

export function printExtent({ host, port }: Extent): string {
  return `${/[:/]/.test(host) ? `[${host}]` : host}:${port}`;
}

/** Whether the first covers all of the second. */
export function covers(wide: Extent, narrow: Extent): boolean {
  return (wide.host === '*' || wide.host === narrow.host) && (wide.port === '*' || wide.port === narrow.port);
}

/** What both cover, or null. */
function overlap(one: Extent, other: Extent): Extent | null {
  const host = common(one.host, other.host);
  const port = common(one.port, other.port);
  return host === null || port === null ? null : { host, port };
}

/** What two lists both allow; null allows everything. */
export function both(one: readonly Extent[] | null, other: readonly Extent[] | null): readonly Extent[] {
  if (one === null) return other ?? [{ host: '*', port: '*' }];
  if (other === null) return one;
  return one.flatMap((a) => other.map((b) => overlap(a, b)).filter((extent) => extent !== null));
}

/** A host may be a pattern (remote_open_match in OpenSSH's channels.c). What two patterns have in common counts as the first. */
function common(one: string, other: string): string | null {
  if (matchesGlob(other, one)) return other;
  if (matchesGlob(one, other)) return one;
  return [one, other].every((text) => /[*?]/.test(text)) ? one : null;
}
