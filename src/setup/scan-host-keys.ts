import type { Clock } from '../lib/clock.ts';
import { dial, type DialSpec } from '../tunnel/dial.ts';
import { TunnelFailure } from '../tunnel/failure.ts';
import { fingerprint, keyTypeOf } from '../tunnel/known-hosts-key.ts';
import { scanServer } from '../tunnel/ssh2/scan.ts';

/** A host key that a server shows to everybody. */
export interface ShownKey {
  readonly key: Buffer;
  readonly type: string;
  /** As `ssh-keygen -l` shows it. */
  readonly fingerprint: string;
}

/** The host keys of a server, one of each type that it has. Rejects with a TunnelFailure where it shows none. */
export async function scanHostKeys(
  server: DialSpec,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly ShownKey[]> {
  const shown = new Map<string, ShownKey>();
  let error = '';
  for (const types of TYPES) {
    const socket = await dial(server, timeoutMs, clock, signal);
    const scan = await scanServer(socket, timeoutMs, clock, types);
    if (scan.hostKey === null) {
      error ||= scan.error;
      continue;
    }
    const key = { key: scan.hostKey, type: keyTypeOf(scan.hostKey), fingerprint: fingerprint(scan.hostKey) };
    shown.set(key.fingerprint, key);
  }
  if (shown.size === 0) throw new TunnelFailure('handshake-failed', `${server.host} shows no host key: ${error}`);
  return [...shown.values()];
}

/** A server shows one key a connection, of the types that it is asked for. */
const TYPES: readonly (readonly string[])[] = [
  ['ssh-ed25519'],
  ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  ['rsa-sha2-512', 'rsa-sha2-256'],
];
