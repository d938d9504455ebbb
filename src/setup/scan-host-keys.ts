import type { Clock } from '../lib/async/clock.ts';
import { HOST_CERTIFICATE_ALGORITHMS } from '../model/algorithms.ts';
import { TunnelFailure } from '../model/failure.ts';
import { fingerprint, keyTypeOf } from '../connection/known-hosts/key-blob.ts';
import { scanServer } from '../connection/ssh2/scan.ts';
import type { SshStream } from '../net/streams/stream-adapter.ts';

/** A host key of a server, as it is sent before any login. */
export interface ShownKey {
  readonly key: Buffer;
  readonly type: string;
  /** As `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
}

/** An open connection to a server; `close` ends jumps and proxies too. */
export interface ScanConnection {
  readonly wire: SshStream;
  close(): Promise<void>;
}

/** The host keys of a server, one of each type, over a new connection for each. Rejects with a TunnelFailure where it sends none. */
export async function scanHostKeys(
  host: string,
  open: () => Promise<ScanConnection>,
  timeoutMs: number,
  clock: Clock,
): Promise<readonly ShownKey[]> {
  const shown = new Map<string, ShownKey>();
  let error = '';
  for (const types of TYPES) {
    const connection = await open();
    const scan = await scanServer(connection.wire, timeoutMs, clock, types);
    await connection.close();
    if (scan.hostKey === null) {
      error ||= scan.error;
      continue;
    }
    const key = { key: scan.hostKey, type: keyTypeOf(scan.hostKey), fingerprint: fingerprint(scan.hostKey) };
    shown.set(key.fingerprint, key);
  }
  if (shown.size === 0) throw new TunnelFailure('handshake-failed', `${host} sent no host key: ${error}`);
  return [...shown.values()];
}

/** The certificate of a server, which has proven to own the key in it; null where it shows none. */
export async function scanHostCertificate(
  open: () => Promise<ScanConnection>,
  timeoutMs: number,
  clock: Clock,
): Promise<Buffer | null> {
  const connection = await open();
  const { hostKey } = await scanServer(connection.wire, timeoutMs, clock, HOST_CERTIFICATE_ALGORITHMS, 'proven');
  await connection.close();
  return hostKey;
}

/** A server sends one key for each connection, of the types that the client accepts. */
const TYPES: readonly (readonly string[])[] = [
  ['ssh-ed25519'],
  ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  ['rsa-sha2-512', 'rsa-sha2-256'],
];
