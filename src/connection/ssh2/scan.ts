import { internalsOf } from './protocol/internals.ts';
import ssh2 from '#ssh2';
import type { Clock } from '../../lib/async/clock.ts';
import { printable } from '../../lib/text.ts';
import { algorithmsToScan } from './algorithms.ts';
import { recordOffer } from './offer.ts';
import type { SshStream } from '../../net/streams/stream-adapter.ts';
import { valveOf } from '../../net/streams/valve.ts';
import { exchangeKeys } from './kex/exchange-keys.ts';
import { openHostKeys } from './host-keys.ts';
import { holdIdentification } from './identification.ts';
import { parseInSlices } from './protocol/parse-in-slices.ts';
import { guardProtocol } from './protocol/protocol-guard.ts';

/** What a server shows to any client. */
export interface Scan {
  /** Its host key as a blob, or null where it showed none. */
  readonly hostKey: Buffer | null;
  /** Its software, safe to print; empty where it did not say. */
  readonly software: string;
  /** The reason for which there is no key. */
  readonly error: string;
}

/**
 * Begins a handshake to see the host key, and ends it there; `proven` ends it when the server has signed with that key, so that a
 * key that another one shows counts for nothing. `types` are the host key algorithms to request. Never rejects.
 */
export function scanServer(
  stream: SshStream,
  timeoutMs: number,
  clock: Clock,
  types?: readonly string[],
  until: 'shown' | 'proven' = 'shown',
): Promise<Scan> {
  return new Promise((resolve) => {
    const client = new ssh2.Client();
    const offer = recordOffer();
    let hostKey: Buffer | null = null;
    let shown: Buffer | null = null;
    let error = '';
    const end = () => {
      cancel();
      stream.destroy();
      resolve({ hostKey, error, software: printable(internalsOf(client)._remoteVer ?? '') });
    };
    const cancel = clock.timer(timeoutMs, () => {
      error ||= `no host key within ${Math.round(timeoutMs / 1000)} s`;
      end();
    });
    const failed = (reason: Error) => {
      error ||= offer.explain(printable(reason.message));
      end();
    };
    // It comes after the check of the signature.
    client.on('handshake', () => {
      hostKey = shown;
      end();
    });
    client.on('error', failed);
    client.on('close', () => {
      error ||= 'the connection ended before the host key';
      end();
    });
    try {
      client.connect({
        sock: stream,
        username: 'nobody',
        readyTimeout: 0,
        debug: offer.debug,
        algorithms: algorithmsToScan(types),
        hostVerifier: (key: Buffer) => {
          shown = key;
          if (until === 'proven') return true;
          hostKey = key;
          throw new Error('that was all');
        },
      });
      const valve = valveOf(stream);
      parseInSlices(client, valve);
      holdIdentification(client);
      guardProtocol(client, stream);
      openHostKeys(client);
      exchangeKeys(client, valve, clock, failed);
    } catch (reason) {
      error = printable(String(reason));
      end();
    }
  });
}
