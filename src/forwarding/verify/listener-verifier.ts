import type { Visitor } from '../../connection/ssh/connection.ts';
import { type Endpoint, formatEndpoint, isLoopbackListener } from '../../model/endpoint.ts';
import { intercept } from './intercept.ts';
import { addressesOf } from './addresses.ts';
import { createProbes } from './probes.ts';
import { identifyAt, sendProbe } from './send-probe.ts';
import { resultOf, type ProbedAddress, type ProbeResult, type VerifyResult } from './results.ts';
import { NOT_OPENSSH, type VerifiedConnection, type VerifyDeps } from './connect-to-listener.ts';

/**
 * Verifies listeners from the server's side, by connections that the server opens to them for us. A grant says too little: sshd grants
 * `localhost` when it could bind one of 127.0.0.1 and ::1, and any address when it listens on loopback (GatewayPorts no). A refusal
 * has no reason.
 */
export interface Verifier {
  /**
   * Finds out what answers at a granted listener; `port` is the one that the server chose, where it chose one. Rejects only with the
   * connection or the signal.
   */
  verify(listen: Endpoint, port: number): Promise<VerifyResult>;
  /** Whether our listener is open to all though it was requested on loopback (GatewayPorts yes), as far as that can be seen. */
  isExposed(listen: Endpoint, port: number): Promise<boolean>;
  /**
   * Identifies the program at a listener that is not ours: the first that answers at one of its addresses. No data is sent to it, but
   * with `sendEnd` an EOF, to which a live program answers. Rejects as verify() does.
   */
  identify(listen: Endpoint, port: number, sendEnd?: boolean): Promise<VerifyResult>;
  /** Takes every visitor of the connection: one that carries a probe of ours ends here, all others are passed on soon. */
  intercept(visitor: Visitor, next: VisitorHandler): void;
}

/** Serves the visitors that are not probes of ours. */
export interface VisitorHandler {
  /** Whether there is room for one more visitor; a few probes always have room. */
  hasRoom(): boolean;
  /** Whether a silent visitor of this listener may wait for the target to speak first, so that it is served before the probes are over. */
  speaksLast(listen: Endpoint): boolean;
  accept(visitor: Visitor): void;
  /** Reserves room for a visitor until it is known whether it is to be accepted; null where it is not. */
  acceptLater(visitor: Visitor, later: Promise<Visitor | null>): void;
}

export function createVerifier(
  connection: VerifiedConnection,
  given: Omit<VerifyDeps, 'connection'>,
  signal: AbortSignal,
): Verifier {
  const deps = { ...given, connection };
  const { clock } = deps;
  const probes = createProbes(deps, signal);
  const isOpenSsh = () => connection.serverVersion.startsWith('OpenSSH');
  const cacheForbidden = forbiddenCache();
  let intercepted = 0;

  const probe = (listen: Endpoint, port: number, address: Endpoint): Promise<ProbedAddress> =>
    cacheForbidden(address, () => {
      const started = probes.start(listen, port, address);
      return sendProbe(started, deps, signal).finally(() => probes.end(started));
    });

  /** Another SSH server may listen where a connection that it opens does not lead. */
  const trusted = (result: VerifyResult): VerifyResult =>
    result.type !== 'none' || isOpenSsh() ? result : { type: 'unknown', why: NOT_OPENSSH };

  async function probeAll(
    listen: Endpoint,
    port: number,
    which: 'requested' | 'instead',
  ): Promise<readonly ProbedAddress[]> {
    const { [which]: addresses, name } = addressesOf(listen, port);
    const seen = await Promise.all(addresses.map((address) => probe(listen, port, address)));
    const closed = seen.filter(
      ({ address, result }) => isForbidden(result) && address.type === 'tcp' && isLoopbackListener(address),
    );
    if (name === null || closed.length === 0) return seen;
    const named = await probe(listen, port, name);
    return named.result.type === 'unknown' ? seen : [...seen.filter((one) => !closed.includes(one)), named];
  }

  return {
    verify: async (listen, port) => {
      const requested = await probeAll(listen, port, 'requested');
      const found = requested.some(({ result }) => result.type === 'ours');
      return trusted(resultOf(requested, found ? [] : await probeAll(listen, port, 'instead')));
    },
    // Another SSH server than sshd may treat WILDCARD_PROBE_HOST in another way.
    isExposed: async (listen, port) => {
      const { beyond } = addressesOf(listen, port);
      if (beyond === null || !isOpenSsh()) return false;
      return (await probe(listen, port, beyond)).result.type === 'ours';
    },
    identify: async (listen, port, sendEnd = false) => {
      const { requested, instead, name } = addressesOf(listen, port);
      const [first, ...others] = requested;
      const [main, more] = [name === null ? [first!] : [first!, name], [...others, ...instead]];
      const failed: ProbedAddress[] = [];
      for (const address of [...main, ...more]) {
        const seen = await cacheForbidden(address, () => identifyAt(listen, address, sendEnd, deps, signal));
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
      const found = intercept(visitor, possible, clock, roundTrip, signal);
      next.acceptLater(
        visitor,
        found.finally(() => (intercepted -= 1)),
      );
    },
  };
}

/** How many visitors may be intercepted for their nonces when there is no room left. */
const EXTRA_INTERCEPTS = 16;

/** An address that the server's rules forbid stays forbidden for this connection, and is not tried again: each try is a line of its log. */
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
