import { checkTunnel } from '../../doctor/check-tunnel.ts';
import { type CheckDeps } from '../../doctor/types.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { NEVER } from '../../lib/async/never.ts';
import { createLogger } from '../../lib/log/log.ts';
import { STATIC_DEVICE, type Device } from '../../net/device.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { createIdentityCache } from '../../connection/auth/identity-cache.ts';
import { processTurns } from './process-turns.ts';

/** Checks a tunnel from a command, which logs nothing and ends before anything about this device changes. */
export async function checkOnce(
  spec: TunnelSpec,
  what: Pick<Device, 'hostKeys'> & Pick<CheckDeps, 'ping' | 'fromDaemon' | 'sourcePort' | 'onStep'>,
): Promise<void> {
  const { hostKeys, ...deps } = what;
  await checkTunnel(
    spec,
    {
      ...deps,
      clock: systemClock,
      log: createLogger('fatal', () => {}),
      identities: createIdentityCache(),
      device: { ...STATIC_DEVICE, hostKeys, turns: processTurns },
    },
    NEVER,
  );
}
