import { readIfReadable } from '../lib/files/read-file.ts';

/** The TCP port of a service's name or alias in services(5); null for one that is not listed. */
export function servicePort(name: string, services: string = readIfReadable('/etc/services') ?? ''): number | null {
  for (const line of services.split('\n')) {
    const [first, second, ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    const [, port] = /^(\d+)\/tcp$/.exec(second ?? '') ?? [];
    if (port !== undefined && [first, ...aliases].includes(name)) return Number(port);
  }
  return null;
}
