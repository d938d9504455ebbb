import type { FleetDevice, FleetServer } from './document.ts';

/**
 * Pure: what one server alone cannot tell. A device whose tunnel is at one of several servers at a time is on standby where it is not logged
 * in, as long as another one of these servers has it.
 */
export function withStandby(servers: readonly FleetServer[]): readonly FleetServer[] {
  const has = servers.map(({ devices }) => new Set(devices.filter(({ state }) => state === 'up').map(idOf)));
  return servers.map((server, here) => {
    const isElsewhere = (device: FleetDevice) => has.some((ids, there) => there !== here && ids.has(idOf(device)));
    const isStandby = (device: FleetDevice) =>
      device.failover === true && (device.state === 'down' || device.state === 'never') && isElsewhere(device);
    return { ...server, devices: server.devices.map((device) => (isStandby(device) ? onStandby(device) : device)) };
  });
}

/** The key of a certificate's line is its authority's, which devices share. */
function idOf({ device, key }: FleetDevice): string {
  return `${device} ${key}`;
}

function onStandby(device: FleetDevice): FleetDevice {
  const troubles = device.troubles.filter(({ code }) => code !== 'down' && code !== 'never-came');
  return { ...device, state: 'standby', troubles };
}
