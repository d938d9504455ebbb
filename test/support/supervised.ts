import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import { NO_SUSPECTS } from './suspects.ts';
import { createSupervisor } from '../../src/supervisor/supervisor.ts';
import type { Suspects } from '../../src/supervisor/suspects.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import { startEcho } from './echo.ts';
import { startSshd, type SshdOptions } from './sshd.ts';
import { quietDevice, specFor, testTurns } from './tunnel.ts';
import { freePort, until } from './until.ts';

/** A supervisor of tunnels to a server of its own. */
export async function startSupervised(
  t: TestContext,
  options: SshdOptions = {},
  clock: Clock = systemClock,
  suspects: Suspects = NO_SUSPECTS,
) {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const supervisor = createSupervisor({
    suspects,
    clock,
    random: Math.random,
    log: createLogger('fatal', () => {}),
    identities: createIdentityCache(),
    device: { ...quietDevice, turns: testTurns(clock) },
    ping: () => null,
  });
  t.after(() => supervisor.stop());
  const view = (name: string) => {
    const found = supervisor.tunnels().find((tunnel) => tunnel.spec.name === name);
    assert.ok(found, name);
    return found;
  };
  return {
    sshd,
    supervisor,
    view,
    ports: [await freePort(), await freePort()] as const,
    names: () => supervisor.tunnels().map((tunnel) => tunnel.spec.name),
    apply: (...specs: TunnelSpec[]) => supervisor.apply(specs),
    up: (name: string) =>
      until(() => view(name).state.phase === 'up', { what: () => JSON.stringify(view(name).state, null, 1) }),
    spec: (name: string, ports: readonly number[], changes: Partial<TunnelSpec> = {}) => ({
      ...specFor(
        sshd,
        ports.map((port) => [port, echo.port] as const),
        { verify: 'auto', ...changes },
      ),
      name,
    }),
  };
}

/** For how long a replacement has the listeners of its predecessor before it is up, and visitors stay with a tunnel that is replaced. */
export const [TRIAL_MS, VISITORS_STAY_MS] = [15_000, 30_000];

/** Without questions to a silent server, which would come as soon as the test skips other waits. */
export const QUIET: Partial<TunnelSpec> = { serverAliveIntervalMs: 0 };
