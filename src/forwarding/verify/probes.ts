import { type Deferred, deferred } from '../../lib/async/abort.ts';
import type { Clock } from '../../lib/async/clock.ts';
import type { Visitor } from '../../connection/ssh/connection.ts';
import type { Endpoint } from '../../model/spec.ts';
import { comesFrom } from './addresses.ts';

/** A nonce that is sent through a listener, to come out here. */
export interface Probe {
  readonly listen: Endpoint;
  readonly port: number;
  /** Where it is sent. */
  readonly address: Endpoint;
  readonly nonce: Buffer;
  /** It has left. */
  readonly sent: Deferred<void>;
  /** It has come: `relayed` where it came from elsewhere than it was sent. */
  readonly result: Deferred<'ours' | 'relayed'>;
  /** Nobody waits for it any more. */
  readonly over: Deferred<void>;
  state: 'unsent' | 'sent' | 'arrived';
  /** A visitor was turned away who may have brought it. */
  crowded: boolean;
}

export interface ProbesDeps {
  readonly clock: Clock;
  /** Bytes that nobody can guess, as text. */
  readonly nonce: () => string;
}

/** The probes of one connection. */
export interface Probes {
  start(listen: Endpoint, port: number, address: Endpoint): Probe;
  /** Nobody waits for it any more; for a while it may still come. */
  end(probe: Probe): void;
  /** Those that this visitor may bring; `late` are those for which nobody is kept waiting. */
  of(visitor: Visitor): { readonly running: readonly Probe[]; readonly late: readonly Probe[] };
}

export function createProbes({ clock, nonce }: ProbesDeps, signal: AbortSignal): Probes {
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
    start: (listen, port, address) => {
      const [sent, result, over] = [deferred<void>(), deferred<'ours' | 'relayed'>(), deferred<void>()];
      const bytes = Buffer.from(`tunneld-verify ${nonce()}\n`);
      const probe: Probe = {
        listen,
        port,
        address,
        nonce: bytes,
        sent,
        result,
        over,
        state: 'unsent',
        crowded: false,
      };
      running.add(probe);
      return probe;
    },
    end: (probe) => {
      running.delete(probe);
      probe.over.resolve();
      if (probe.state === 'sent' && !signal.aborted) awaitLate(probe);
    },
    of: (visitor) => {
      const possible = [...running].filter((one) => mayCarry(visitor, one));
      const direct = possible.filter(({ address }) => comesFrom(visitor.originator, address));
      // The nonce of another place comes only from a program that passes it on: nobody is kept waiting for that.
      const relayed = possible.filter((one) => !direct.includes(one));
      return { running: direct, late: [...[...missing].filter((one) => mayCarry(visitor, one)), ...relayed] };
    },
  };
}

const LATE_MS = 120_000;

function mayCarry({ listen, originator }: Visitor, probe: Probe): boolean {
  if (probe.listen.type === 'unix') return listen.type === 'unix' && listen.path === probe.listen.path;
  if (listen.type !== 'tcp' || listen.host !== probe.listen.host || listen.port !== probe.port) return false;
  const local = ['localhost', '', '*', '0.0.0.0', '127.0.0.1', '::', '::1'].includes(probe.listen.host);
  return !local || /^(?:127\.|::1:|::ffff:127\.)/.test(originator);
}
