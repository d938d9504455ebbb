import { checkTunnel } from '../../doctor/check-tunnel.ts';
import { type CheckDeps } from '../../doctor/types.ts';
import { NEVER } from '../../lib/async/never.ts';
import { STATIC_DEVICE, type Device } from '../../net/device.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { loginDeps } from './login-deps.ts';

/** Checks a tunnel from a command, which logs nothing and ends before anything about this device changes. */
export async function checkOnce(
  spec: TunnelSpec,
  what: Pick<Device, 'hostKeys'> & Pick<CheckDeps, 'ping' | 'fromDaemon' | 'sourcePort' | 'onStep'>,
): Promise<void> {
  const { hostKeys, ...deps } = what;
  const { turns, ...own } = loginDeps('fatal');
  await checkTunnel(spec, { ...deps, ...own, device: { ...STATIC_DEVICE, hostKeys, turns } }, NEVER);
}
