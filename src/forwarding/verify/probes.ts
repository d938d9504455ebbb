import { type Deferred, deferred } from '../../lib/async/abort.ts';
import type { VerifyDeps } from './connect-to-listener.ts';
import type { Visitor } from '../../connection/ssh/connection.ts';
import {
  isLoopbackAddress,
  type Endpoint,
  isWildcardHost,
  isLoopbackListener,
  sameEndpoint,
} from '../../model/endpoint.ts';
import { comesFrom, addressOf } from './addresses.ts';

/** A nonce that is sent to a listener, to arrive here. */
export interface Probe {
  readonly listen: Endpoint;
  readonly port: number;
  readonly address: Endpoint;
  readonly nonce: Buffer;
  /** Resolves when it was sent. */
  readonly sent: Deferred<void>;
  /** Resolves when it arrived: `relayed` where it came from another address than it was sent to. */
  readonly result: Deferred<'ours' | 'relayed'>;
  /** Resolves when it is not waited for any more. */
  readonly over: Deferred<void>;
  state: 'unsent' | 'sent' | 'arrived';
  /** A visitor that may have carried it was rejected. */
  crowded: boolean;
}

export function createProbes({ clock, nonce }: VerifyDeps, signal: AbortSignal) {
  const running = new Set<Probe>();
  const missing = new Set<Probe>();
  const awaitLate = (probe: Probe) => {
    missing.add(probe);
    const forget = () => {
      cancel();
      signal.removeEventListener('abort', forget);
      missing.delete(probe);
    };
    const cancel = clock.timer(LATE_MS, forget);
    signal.addEventListener('abort', forget, { once: true });
  };
  return {
    start: (listen: Endpoint, port: number, address: Endpoint): Probe => {
      const probe: Probe = {
        listen,
        port,
        address,
        nonce: Buffer.from(`tunneld-verify ${nonce()}\n`),
        sent: deferred(),
        result: deferred(),
        over: deferred(),
        state: 'unsent',
        crowded: false,
      };
      running.add(probe);
      return probe;
    },
    /** It is not waited for any more; for LATE_MS it may still arrive. */
    end: (probe: Probe): void => {
      running.delete(probe);
      probe.over.resolve();
      if (probe.state === 'sent' && !signal.aborted) awaitLate(probe);
    },
    /** Those that this visitor may carry; for the `late` ones it is not kept waiting. */
    of: (visitor: Visitor) => {
      const possible = [...running].filter((one) => mayCarry(visitor, one));
      const direct = possible.filter(({ address }) => comesFrom(visitor.originator, address));
      // Only a program that relays it brings the nonce of another address: no visitor is kept waiting for that.
      const relayed = possible.filter((one) => !direct.includes(one));
      return { running: direct, late: [...[...missing].filter((one) => mayCarry(visitor, one)), ...relayed] };
    },
  };
}

const LATE_MS = 120_000;

function mayCarry({ listen, originator }: Visitor, probe: Probe): boolean {
  const bound = probe.listen.type === 'unix' ? probe.listen : { ...probe.listen, port: probe.port };
  if (!sameEndpoint(listen, bound)) return false;
  const local = bound.type === 'tcp' && (isLoopbackListener(bound) || isWildcardHost(bound.host));
  return !local || isLoopbackAddress(addressOf(originator));
}
