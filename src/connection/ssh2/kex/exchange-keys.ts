import type { Client } from 'ssh2';
import type { Clock } from '../../../lib/async/clock.ts';
import type { Valve } from '../../../net/streams/valve.ts';
import { holdMessages } from '../protocol/held-messages.ts';
import { internalsOf } from '../protocol/internals.ts';
import { openGroup } from './group-exchange.ts';
import { openHybrid } from './hybrid.ts';
import { powerInWorker } from './modular-power.ts';
import { preparedSecret } from './prepared-secret.ts';

/**
 * Computes key exchanges without blocking the event loop: finite-field Diffie-Hellman, which ssh2 computes on the main
 * thread, and the hybrid ones, which it lacks. Messages of the server wait meanwhile. `onError` gets the error of an
 * exchange, or of a message that waited. Call right after client.connect().
 */
export function exchangeKeys(client: Client, valve: Valve, clock: Clock, onError: (error: Error) => void): void {
  const { _protocol: protocol } = internalsOf(client);
  const hold = holdMessages(client, valve, onError);
  protocol.openGroup = (exchange, prime, generator, [minBits, maxBits], proceed) =>
    hold(
      openGroup(prime, generator, minBits, maxBits, (...numbers) => powerInWorker(clock, ...numbers)),
      (group) => {
        exchange._dh = group;
        exchange._public = group.generateKeys();
        proceed();
      },
    );
  protocol.openHybrid = (exchange, name, proceed) =>
    hold(openHybrid(name), ({ publicKey, secretWith }) => {
      exchange._dh = preparedSecret(secretWith);
      exchange._public = publicKey;
      proceed();
    });
  protocol.prepareSecret = (secret, theirs) => hold(secret.prepareSecret(theirs), () => {});
}
