import type { Client } from 'ssh2';
import type { Clock } from '../../lib/async/clock.ts';
import type { ServerSpec } from '../../model/spec.ts';
import type { SshStream } from '../../net/streams/stream-adapter.ts';
import type { Transport } from '../../net/transport.ts';
import { valveOf } from '../../net/streams/valve.ts';
import { limitSignatures } from '../auth/signature-algorithms.ts';
import { limitAnnouncedKeys } from './announced-keys.ts';
import { guardCompression } from './compression.ts';
import { openHostKeys } from './host-keys.ts';
import { holdIdentification } from './identification.ts';
import { exchangeKeys } from './kex/exchange-keys.ts';
import { reuseNumbers } from './protocol/channel-numbers.ts';
import { parseInSlices } from './protocol/parse-in-slices.ts';
import { guardProtocol } from './protocol/protocol-guard.ts';
import { quietAfterClose } from './protocol/quiet-channels.ts';
import { shareWindows } from './protocol/receive-windows.ts';
import { waitForRekey } from './protocol/unfinished-rekey.ts';
import { rekeyAfter } from './rekey.ts';

export interface GuardOptions {
  readonly spec: Pick<ServerSpec, 'compression' | 'pubkeyAcceptedAlgorithms' | 'rekeyLimit'>;
  readonly stream: SshStream;
  readonly transport: Transport;
  readonly clock: Clock;
  /** See shareWindows(). */
  readonly mostOnItsWay: (ours: number) => number;
  /** The connection has to end for this. */
  onFault(error: Error): void;
  /** See limitAnnouncedKeys(). */
  onTooManyHostKeys(count: number): void;
}

/**
 * Closes gaps of ssh2 against hostile servers, and against those that deviate from OpenSSH. Call right after client.connect(), before the
 * first byte is read.
 *
 * Each guard replaces functions of ssh2 by its own, which call what they found. So the last one has the first word, on messages that come
 * in and on those that go out, and this is the order of all of them:
 * ```
 *   server ──▶ identification ──▶ slices ──▶ ssh2's parser ──▶ signatures, quiet ──▶ protocol ──▶ announced keys, windows ──▶ ssh2's handlers
 *              held until whole   a part     (holds back what   after our close:     judged       counted: lists of keys,
 *                                 a tick      comes during a     forgotten                        bytes that wait
 *                                             key exchange)
 *   server ◀── ssh2 ◀── windows ◀── protocol ◀── quiet ◀── ssh2's answers
 * ```
 * - Identification is behind slices here, because slices replace the parser, and call nothing that was there.
 * - The protocol is judged before windows and lists of keys count: what counts trusts the numbers of a message.
 * - Quiet comes last of the three: nothing may be sent for a closed channel, by whichever of them.
 */
export function guardConnection(client: Client, options: GuardOptions) {
  const { spec, stream, clock, onFault, onTooManyHostKeys } = options;
  const valve = valveOf(stream);
  reuseNumbers(client);
  parseInSlices(client, valve);
  const identification = holdIdentification(client);
  shareWindows(client, onFault, options.mostOnItsWay);
  limitAnnouncedKeys(client, onTooManyHostKeys);
  guardProtocol(client, stream);
  quietAfterClose(client);
  // These wait for events, or open doors of the key exchange, and are independent of the others.
  const transport = waitForRekey(client, options.transport, clock, onFault);
  const rekey = rekeyAfter(client, stream, spec.rekeyLimit, clock);
  openHostKeys(client);
  exchangeKeys(client, valve, clock, onFault);
  if (spec.compression) guardCompression(client);
  if (spec.pubkeyAcceptedAlgorithms !== null) limitSignatures(client, spec.pubkeyAcceptedAlgorithms);
  return {
    identification,
    /** The transport of the connection from here on: also congested during a rekey. */
    transport,
    /** To be called when the connection has ended. */
    forget: () => {
      transport.forget();
      rekey.forget();
    },
  };
}
