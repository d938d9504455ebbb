import type { CheckDeps, ReportStep } from './types.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { sourceOf } from '../net/dial.ts';
import { asFailure, hintFor, TunnelFailure } from '../model/failure.ts';
import { familyOf } from '../net/address-family.ts';
import { systemLookup } from '../net/addresses/resolve-host.ts';
import { probeAddress, probeRequest } from '../net/probe-path.ts';
import { serverBehindProxy, firstHop } from '../net/first-hop.ts';
import { formatAddress } from '../model/endpoint.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { checkLogin, checkTarget } from './check-login.ts';
import { stepAndCureOf, STEPS } from './check.ts';

/**
 * Checks the whole route to one tunnel's server, once: its name, the network, every address, the handshake, the login, each forward and
 * its target. The steps after a failed one are skipped. Nothing is left behind on the server.
 */
export async function checkTunnel(spec: TunnelSpec, deps: CheckDeps, signal: AbortSignal): Promise<void> {
  const { clock } = deps;
  let started = clock.now();
  let reached = STEPS.indexOf('name');
  const report: ReportStep = (step, result, seen, cure, lasting) => {
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
    await probeAddresses(addresses, spec, { ...deps, report }, signal);
    if (deps.fromDaemon === null) await checkLogin(spec, { ...deps, report }, signal);
    else
      for (const [step, result, seen, cure, forward] of deps.fromDaemon) {
        if (forward === undefined) report(step, result, seen, cure);
        else await checkTarget(spec.forwards[forward]!, spec, { ...deps, report }, signal);
      }
  } catch (error) {
    signal.throwIfAborted();
    const failure = asFailure(error);
    const [step, cure] = stepAndCureOf(failure, reached);
    report(step, 'fail', failure.message, cure);
    for (const name of STEPS.slice(reached)) {
      deps.onStep({ tunnel: spec.name, step: name, result: 'skip', seen: `not tried, because ${step} failed`, ms: 0 });
    }
  }

  async function lookUp(): Promise<readonly string[]> {
    if (spec.entry.type === 'command') {
      report('name', 'ok', 'left to the proxyCommand');
      return [];
    }
    const first = firstHop(spec);
    const { host } = first;
    const found = await systemLookup(host, familyOf(first)).catch((error: unknown) => {
      throw new TunnelFailure('dns-failed', `cannot resolve ${host}: ${errorCode(error) ?? errorText(error)}`);
    });
    const addresses = [...new Set(found.map(({ address }) => address))];
    report('name', 'ok', addresses.join() === host ? `${host} is an address` : `${host} is ${addresses.join(', ')}`);
    return addresses;
  }

  async function pingHints(): Promise<void> {
    const { ping } = deps;
    if (ping === null) report('ICMP', 'ok', 'no hints are configured (network.ping)');
    else if (await ping(signal)) report('ICMP', 'ok', 'a ping is answered');
    else
      report(
        'ICMP',
        'warn',
        'no ping is answered',
        'The network may filter ICMP; if TCP fails too, there is no network.',
      );
  }
}

/** Every address, since a way that is broken for one family is a slow start each time. */
async function probeAddresses(
  addresses: readonly string[],
  spec: TunnelSpec,
  { clock, device, report }: Pick<CheckDeps, 'clock' | 'device'> & { readonly report: ReportStep },
  signal: AbortSignal,
): Promise<void> {
  if (spec.entry.type === 'command') {
    report('TCP', 'ok', 'left to the proxyCommand');
    return;
  }
  const machine = firstHop(spec);
  const { port, connectTimeoutMs, connectLimit } = machine;
  const seen: string[] = [];
  const failures: TunnelFailure[] = [];
  const probe = async (host: string) => {
    const path = { address: host, port, source: sourceOf(machine), behindProxy: serverBehindProxy(spec) };
    const request = { ...probeRequest(connectLimit, clock), urgent: true };
    try {
      await probeAddress(path, machine, request, connectTimeoutMs, { clock, turns: device.turns }, signal);
      seen.push(`${formatAddress({ host, port })} answers`);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(asFailure(error));
    }
  };
  // Side by side: each that is dead takes all the time there is.
  await Promise.all(addresses.map(probe));
  const [first] = failures;
  const text = [...seen, ...failures.map(({ message }) => message)].join('; ');
  if (seen.length === 0 && first !== undefined) throw new TunnelFailure(first.code, text);
  report('TCP', failures.length === 0 ? 'ok' : 'warn', text, first?.hint);
}
