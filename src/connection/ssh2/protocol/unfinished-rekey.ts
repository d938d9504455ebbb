import type { Client } from 'ssh2';
import type { Clock } from '../../../lib/async/clock.ts';
import type { Transport } from '../../../net/transport.ts';
import { ProtocolViolation } from './violations.ts';
import { internalsOf } from './internals.ts';

/**
 * The transport below a connection, congested during a rekey: until the server has finished it, ssh2 queues everything
 * that is written. `onViolation` is called for one that is not finished in time. Call right after client.connect().
 */
export function waitForRekey(
  client: Client,
  transport: Transport,
  clock: Clock,
  onViolation: (violation: ProtocolViolation) => void,
): Transport & { forget(): void } {
  const { _protocol: protocol } = internalsOf(client);
  const waiting = new Set<() => void>();
  let cancel = () => {};
  protocol.exchangeBegins = () => {
    cancel();
    cancel = clock.timer(REKEY_MS, () => onViolation(new ProtocolViolation('it does not finish the rekey')));
  };
  // The queue has been written by then.
  client.on('handshake', () => {
    cancel();
    const resumed = [...waiting];
    waiting.clear();
    for (const resume of resumed) resume();
  });
  return {
    ...transport,
    congested: () => protocol._kexinit !== undefined || transport.congested(),
    onceDrained: (resume) => {
      if (protocol._kexinit === undefined) return transport.onceDrained(resume);
      waiting.add(resume);
      return () => waiting.delete(resume);
    },
    forget: () => cancel(),
  };
}

/** Enough for two round trips and two signatures on the slowest machine and path. */
const REKEY_MS = 60_000;
