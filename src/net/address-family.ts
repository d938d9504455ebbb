import { isIP } from 'node:net';
import type { ServerSpec } from '../model/spec.ts';

/** A family of addresses as Node.js names it; 0 is any. */
export type Family = 0 | 4 | 6;

/**
 * What AddressFamily of ssh_config(5) leaves: addresses of the server, and, as channels.c of OpenSSH has it, those that targets are dialled at
 * and that this device listens on.
 */
export function familyOf({ addressFamily }: Pick<ServerSpec, 'addressFamily'>): Family {
  return FAMILIES[addressFamily];
}

const FAMILIES = { any: 0, inet: 4, inet6: 6 } as const;

/** Whether an address is of this family; a name may have addresses of each. */
export function fitsFamily(host: string, family: Family): boolean {
  return family === 0 || isIP(host) === 0 || isIP(host) === family;
}
