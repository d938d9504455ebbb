import { isIPv6 } from 'node:net';
import type { Clock } from '../lib/async/clock.ts';
import { errorCode, errorText } from '../lib/text.ts';
import type { Device } from '../net/device.ts';
import { sourceOf, translate } from '../net/dial.ts';
import { asFailure, hintFor, TunnelFailure } from '../model/failure.ts';
import { systemLookup } from '../net/resolve-host.ts';
import { localAddress } from '../net/local-address.ts';
import { openSocket } from '../net/open-socket.ts';
import { probeClaim } from '../net/probe-path.ts';
import { resetSocket } from '../net/reset-socket.ts';
import { beyondOf, firstMachine } from '../net/first-machine.ts';
import { formatEndpoint, type TunnelSpec } from '../model/spec.ts';
import type { Logger } from '../lib/log/log.ts';
import type { IdentityCache } from '../connection/auth/identity-cache.ts';
import { examineLogin, examineTarget } from './check-login.ts';
import type { PortSight } from './source-port.ts';
import { cureOf, placeOf, STEPS, type Step, type StepName } from './check.ts';

export interface ExamineDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly identities: IdentityCache;
  readonly device: Pick<Device, 'hostKeys' | 'onChange' | 'lostAddress' | 'unacknowledged' | 'turns'>;
  /** Null where no addresses are configured. */
  readonly ping: ((signal: AbortSignal) => Promise<boolean>) | null;
  /** What can be known of the port that the tunnel dials from. */
  readonly sight: PortSight;
  /** What a running daemon knows of the tunnel, instead of a login of ours; null where there is none. */
  readonly known: readonly FromDaemon[] | null;
  /** Told of each step as soon as it is done. */
  onStep(step: Step): void;
}

/** Tells of a step that is done. */
export type Tell = (step: StepName, result: Step['result'], seen: string, cure?: string, lasting?: true) => void;

/** A step that somebody else has done: its name, the result, what was seen, and the cure. */
export type Known = readonly [StepName, Step['result'], string, string?];

/** The same from a daemon. With the number of a forward, what was seen of its target is old, and is looked at again. */
export type FromDaemon = Known | readonly [StepName, Step['result'], string, undefined, number];

/**
 * Goes the whole way to one tunnel's server, once: its name, the network, every address, the handshake, the login, each forward and
 * its target. What comes after a step that failed is skipped. Nothing is left behind on the server.
 */
export async function examineTunnel(spec: TunnelSpec, deps: ExamineDeps, signal: AbortSignal): Promise<void> {
  const { clock } = deps;
  let started = clock.now();
  let reached = STEPS.indexOf('name');
  const tell: Tell = (step, result, seen, cure, lasting) => {
    const ms = Math.round(clock.now() - started);
    const more = {
      ...(cure === undefined ? {} : { cure: hintFor(spec.name, cure) }),
      ...(lasting === true ? { lasting } : {}),
    };
    deps.onStep({ tunnel: spec.name, step, result, seen, ms, ...more });
    started = clock.now();
    reached = Math.max(reached, STEPS.indexOf(step) + 1);
  };
  try {
    const addresses = await lookUp();
    await pingHints();
    await knock(addresses);
    if (deps.known === null) await examineLogin(spec, { ...deps, tell }, signal);
    else
      for (const [step, result, seen, cure, forward] of deps.known) {
        if (forward === undefined) tell(step, result, seen, cure);
        else await examineTarget(spec.forwards[forward]!, spec, { ...deps, tell }, signal);
      }
  } catch (error) {
    signal.throwIfAborted();
    const failure = asFailure(error);
    const [step, cure] = placeOf(failure, reached);
    tell(step, 'fail', failure.message, cure);
    for (const name of STEPS.slice(reached)) {
      deps.onStep({ tunnel: spec.name, step: name, result: 'skip', seen: `not tried: ${step} comes first`, ms: 0 });
    }
  }

  async function lookUp(): Promise<readonly string[]> {
    if (spec.entry.type === 'command') {
      tell('name', 'ok', 'left to the proxyCommand');
      return [];
    }
    const { host, addressFamily } = firstMachine(spec);
    const family = addressFamily === 'any' ? 0 : addressFamily === 'inet' ? 4 : 6;
    const found = await systemLookup(host, family).catch((error: unknown) => {
      throw new TunnelFailure('dns-failed', `cannot resolve ${host}: ${errorCode(error) ?? errorText(error)}`);
    });
    const addresses = [...new Set(found.map(({ address }) => address))];
    tell('name', 'ok', addresses.join() === host ? `${host} is an address` : `${host} is ${addresses.join(', ')}`);
    return addresses;
  }

  async function pingHints(): Promise<void> {
    const { ping } = deps;
    if (ping === null) tell('ICMP', 'ok', 'no hints are configured (network.ping)');
    else if (await ping(signal)) tell('ICMP', 'ok', 'a ping is answered');
    else
      tell('ICMP', 'warn', 'no ping is answered', 'A network may filter ICMP; if TCP fails too, there is no network.');
  }

  async function knock(addresses: readonly string[]): Promise<void> {
    if (spec.entry.type === 'command') {
      tell('TCP', 'ok', 'left to the proxyCommand');
      return;
    }
    const machine = firstMachine(spec);
    const { port, connectTimeoutMs, connectLimit } = machine;
    const seen: string[] = [];
    const failures: TunnelFailure[] = [];
    for (const host of addresses) {
      const at = formatEndpoint({ type: 'tcp', host, port });
      const place = { address: host, port, source: sourceOf(machine), beyond: beyondOf(spec) };
      const claim = { ...probeClaim(connectLimit, clock), urgent: true };
      const turn = await deps.device.turns.take(place, claim, signal);
      try {
        const own = localAddress(machine, isIPv6(host) ? 6 : 4);
        const from = own === null ? {} : { localAddress: own };
        resetSocket(await openSocket({ host, port, ...from }, connectTimeoutMs, clock, signal));
        turn.opened();
        seen.push(`${at} answers`);
      } catch (error) {
        signal.throwIfAborted();
        failures.push(turn.failed(error instanceof TunnelFailure ? error : translate(error, at)));
      } finally {
        turn.end();
      }
    }
    const [first] = failures;
    const text = [...seen, ...failures.map(({ message }) => message)].join('; ');
    if (seen.length === 0 && first !== undefined) throw new TunnelFailure(first.code, text);
    tell('TCP', failures.length === 0 ? 'ok' : 'warn', text, first === undefined ? undefined : cureOf(first));
  }
}
