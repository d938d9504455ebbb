import type { Visitor } from '../../connection/ssh/connection.ts';
import { type Endpoint, formatEndpoint } from '../../model/spec.ts';
import { intercept } from './intercept.ts';
import { isLoopback, addressesOf } from './addresses.ts';
import { createProbes, type ProbesDeps } from './probes.ts';
import { identifyAt, sendProbe, type ProbeDeps } from './send-probe.ts';
import { resultOf, type ProbedAddress, type ProbeResult, type VerifyResult } from './results.ts';
import { NOT_OPENSSH, type VerifiedConnection } from './connect-to-listener.ts';

/**
 * Verifies listeners from the server's side, by connections that the server opens to them for us. sshd says that it listens on
 * `localhost` when it could bind one of 127.0.0.1 and ::1, and on any address when it listens on loopback (GatewayPorts no); it gives
 * no reason when it refuses.
 */
export interface Verifier {
  /**
   * Who answers at a listener that the server has granted; `port` is the one that it chose where it did. Rejects only with the connection
   * or the signal.
   */
  verify(listen: Endpoint, port: number): Promise<VerifyResult>;
  /** Whether a listener that is ours, and was asked for on loopback, is open to all (GatewayPorts yes), as far as that can be seen. */
  isExposed(listen: Endpoint, port: number): Promise<boolean>;
  /**
   * Who answers first at the places of a listener that is not ours, to whom nothing is sent; `pulse` has our end of the connection told, to
   * which what lives answers. Rejects as verify() does.
   */
  identify(listen: Endpoint, port: number, pulse?: boolean): Promise<VerifyResult>;
  /** Every visitor of the connection comes through here: what a probe of ours brings goes no further, all others soon do. */
  intercept(visitor: Visitor, next: VisitorHandler): void;
}

/** Those who serve the visitors that are none of our probes. */
export interface VisitorHandler {
  /** Whether there is room for one more; for a few probes there always is. */
  hasRoom(): boolean;
  /** Whether one of this listener who waits for the first word from the other side may be served before the probes are over. */
  speaksLast(listen: Endpoint): boolean;
  accept(visitor: Visitor): void;
  /** Keeps a place for a visitor until it is known who is to be accepted; null for nobody. */
  acceptLater(visitor: Visitor, later: Promise<Visitor | null>): void;
}

export interface VerifierDeps extends ProbesDeps, Omit<ProbeDeps, 'connection'> {}

export function createVerifier(connection: VerifiedConnection, deps: VerifierDeps, signal: AbortSignal): Verifier {
  const { clock } = deps;
  const probes = createProbes(deps, signal);
  const probeDeps = { ...deps, connection };
  const isOpenSsh = () => connection.serverVersion.startsWith('OpenSSH');
  const cacheForbidden = forbiddenCache();
  let intercepted = 0;

  const probe = (listen: Endpoint, port: number, address: Endpoint): Promise<ProbedAddress> =>
    cacheForbidden(address, () => {
      const started = probes.start(listen, port, address);
      return sendProbe(started, probeDeps, signal).finally(() => probes.end(started));
    });

  /** Others may listen in ways that no connection of theirs leads to. */
  const trusted = (result: VerifyResult): VerifyResult =>
    result.type !== 'none' || isOpenSsh() ? result : { type: 'unknown', why: NOT_OPENSSH };

  async function probeAll(
    listen: Endpoint,
    port: number,
    which: 'asked' | 'instead',
  ): Promise<readonly ProbedAddress[]> {
    const { [which]: places, name } = addressesOf(listen, port);
    const seen = await Promise.all(places.map((address) => probe(listen, port, address)));
    const closed = seen.filter(({ address, result }) => isForbidden(result) && isLoopback(address));
    if (name === null || closed.length === 0) return seen;
    const named = await probe(listen, port, name);
    return named.result.type === 'unknown' ? seen : [...seen.filter((one) => !closed.includes(one)), named];
  }

  return {
    verify: async (listen, port) => {
      const asked = await probeAll(listen, port, 'asked');
      const found = asked.some(({ result }) => result.type === 'ours');
      return trusted(resultOf(asked, found ? [] : await probeAll(listen, port, 'instead')));
    },
    // Others than sshd give their listeners out in ways of their own.
    isExposed: async (listen, port) => {
      const { beyond } = addressesOf(listen, port);
      if (beyond === null || !isOpenSsh()) return false;
      return (await probe(listen, port, beyond)).result.type === 'ours';
    },
    identify: async (listen, port, pulse = false) => {
      const { asked, instead, name } = addressesOf(listen, port);
      const [first, ...others] = asked;
      const [main, more] = [name === null ? [first!] : [first!, name], [...others, ...instead]];
      const failed: ProbedAddress[] = [];
      for (const address of [...main, ...more]) {
        const seen = await cacheForbidden(address, () => identifyAt(listen, address, pulse, probeDeps, signal));
        if (seen.result.type !== 'none' && !isForbidden(seen.result)) return resultOf([seen], []);
        failed.push(seen);
      }
      const none = failed.slice(0, main.length).find(({ result }) => result.type === 'none');
      return trusted(resultOf([none ?? failed[0]!], []));
    },
    intercept: (visitor, next) => {
      const possible = probes.of(visitor);
      const isFull = !next.hasRoom() && intercepted >= EXTRA_INTERCEPTS;
      if (isFull) for (const one of possible.running) one.crowded = true;
      if (isFull || possible.running.length + possible.late.length === 0) {
        next.accept(visitor);
        return;
      }
      intercepted += 1;
      const roundTrip = next.speaksLast(visitor.listen) ? () => connection.ping() : null;
      const found = intercept(visitor, possible, { clock, roundTrip }, signal);
      next.acceptLater(
        visitor,
        found.finally(() => (intercepted -= 1)),
      );
    },
  };
}

/** Those whose place is for probes when all others are taken. */
const EXTRA_INTERCEPTS = 16;

/** What the rules of the server forbid stays so for this connection, and is not asked for again: each time is a line of its log. */
function forbiddenCache(): (address: Endpoint, see: () => Promise<ProbeResult>) => Promise<ProbedAddress> {
  const forbidden = new Map<string, ProbeResult>();
  return async (address, see) => {
    const known = forbidden.get(formatEndpoint(address));
    if (known !== undefined) return { address, result: known };
    const result = await see();
    if (isForbidden(result)) forbidden.set(formatEndpoint(address), result);
    return { address, result };
  };
}

function isForbidden(result: ProbeResult): boolean {
  return result.type === 'unknown' && result.forbidden === true;
}
