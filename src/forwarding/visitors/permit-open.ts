import { bracketed } from '../../model/endpoint.ts';

/**
 * Whether visitors of a SOCKS proxy may reach a destination (ssh_config(5), PermitRemoteOpen). As with ssh, `*` is any host or any
 * port, and a name is compared as it was written: nothing is looked up.
 */
export function permitsOpen(
  permitted: readonly string[] | null,
  { host, port }: { readonly host: string; readonly port: number },
): boolean {
  if (permitted === null) return true;
  return [host, '*'].some((name) => [port, '*'].some((number) => permitted.includes(`${bracketed(name)}:${number}`)));
}
