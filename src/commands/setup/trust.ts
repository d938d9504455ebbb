import { ask, DaemonNotRunningError } from '../../control/client.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { NEVER } from '../../lib/async/never.ts';
import { errorText } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { scanHostCertificate, scanHostKeys, type ScanConnection } from '../../setup/scan-host-keys.ts';
import { STATIC_DEVICE } from '../../net/device.ts';
import { hostQuery } from '../../connection/known-hosts/check-host-key.ts';
import { openRouteOnce } from '../../connection/route/route-once.ts';
import { isMeant } from '../../model/redundancy.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { formatServer } from '../../model/state.ts';
import { configuredTunnel } from '../find/configured-tunnel.ts';
import { withQuestions, type Questions } from '../text/prompt.ts';
import { controlSockets } from '../find/control-sockets.ts';
import { loginDeps } from '../find/login-deps.ts';
import { report } from '../text/report.ts';
import { type HostToTrust, trustHostKey } from './trust-host-key.ts';

/**
 * Compares the host keys of a tunnel's servers and of their jumps with the known ones, and replaces what a person confirms. The daemon then
 * tries at once.
 */
export async function trust(
  config: string | null,
  name: string,
  { fingerprint: given }: { readonly fingerprint: string | null },
): Promise<void> {
  const { all } = await configuredTunnel(config, name);
  const members = all.filter((one) => isMeant(one.name, name));
  const options = { option: '--fingerprint', given, alone: members.length === 1 };
  const failures: UserError[] = [];
  await withQuestions(false, async (questions) => {
    for (const member of members) {
      // One that is down does not keep the next one from being trusted.
      try {
        if ((await trustRoute(member, options, questions)).length > 0) await tryNow(config, member.name);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        failures.push(error);
      }
    }
  });
  const [first] = failures;
  if (first === undefined) return;
  throw failures.length === 1 ? first : new UserError(failures.map(({ message }) => message).join('\n'), first.exit);
}

/**
 * Makes the host keys of a tunnel's server and of its jumps known. `given` is the fingerprint that `option` gives, null for none; `alone`:
 * there is no other tunnel that it could be meant for. Resolves with the servers of which a key became known. Rejects with a UserError
 * where one is not confirmed.
 */
export async function trustRoute(
  tunnel: TunnelSpec,
  { option, given, alone }: { readonly option: string; readonly given: string | null; readonly alone: boolean },
  questions: Questions,
): Promise<readonly TunnelSpec[]> {
  const trusted: TunnelSpec[] = [];
  for (const server of serversOf(tunnel)) {
    const host = hostOf(server, alone && tunnel.jumps.length === 0, option);
    const result = await trustHostKey(host, given, questions, report);
    if (result === 'refused') throw new UserError(`the host key of ${formatServer(server)} was not confirmed`);
    if (result === 'trusted') trusted.push(server);
  }
  return trusted;
}

/** A server that is reached as a tunnel reaches it, with the known hosts of that login. See HostToTrust. */
export function hostOf(server: TunnelSpec, alone: boolean, option: string | null): HostToTrust {
  return {
    ...server,
    query: hostQuery(server.host, server.port, server.hostKeyAlias),
    alone,
    option,
    scan: () => scanHostKeys(server.host, () => connectTo(server), SCAN_MS, systemClock),
    scanCertificate: () => scanHostCertificate(() => connectTo(server), SCAN_MS, systemClock),
  };
}

const SCAN_MS = 10_000;

/** Each jump as the server of a tunnel of its own, the nearest first: its keys must be known to get to the next. */
function serversOf(tunnel: TunnelSpec): readonly TunnelSpec[] {
  const jumps = tunnel.jumps.map((jump, index) => ({ ...tunnel, ...jump, jumps: tunnel.jumps.slice(0, index) }));
  return [...jumps, tunnel];
}

async function connectTo(server: TunnelSpec): Promise<ScanConnection> {
  const deps = loginDeps('fatal');
  const device = { ...STATIC_DEVICE, turns: deps.turns };
  const route = await openRouteOnce(server, { ...deps, device }, NEVER);
  return {
    wire: route.stream,
    close: async () => {
      await route.close();
      await route.destroy();
    },
  };
}

async function tryNow(config: string | null, name: string): Promise<void> {
  try {
    const answer = await ask(await controlSockets(config, name), { command: 'retry', name });
    report(answer.ok ? 'the daemon tries it now' : `the daemon does not try now: ${answer.message}`);
  } catch (error) {
    if (!(error instanceof DaemonNotRunningError)) report(`the daemon does not try now: ${errorText(error)}`);
  }
}
