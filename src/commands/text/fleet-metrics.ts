import type { FleetDevice, FleetServer } from '../../fleet/document.ts';

/** The devices in the text format of Prometheus, for the textfile collector of node_exporter. */
export function fleetMetrics(servers: readonly FleetServer[]): string {
  const rows = servers.flatMap(({ server, devices }) => devices.map((device) => ({ server, device })));
  const families = FAMILIES.map(({ name, help, value }) => {
    // One sample for each set of labels: two keys without a port have the same, and Prometheus would refuse the whole text.
    const samples = new Map<string, number>();
    for (const { server, device } of rows) {
      const number = value(device);
      const { device: deviceName, user, port } = device;
      if (number !== null) samples.set(labels({ server, device: deviceName, user, port: String(port ?? '') }), number);
    }
    return family(
      name,
      help,
      [...samples].map(([all, number]) => `${name}${all} ${number}`),
    );
  });
  const troubles = rows.flatMap(({ server, device }) =>
    device.troubles.map(
      ({ code }) => `${TROUBLE}${labels({ server, device: device.device, user: device.user, code })} 1`,
    ),
  );
  const read = servers.map(({ server, read: isRead }) => `${READ}${labels({ server })} ${isRead ? 1 : 0}`);
  return [
    ...families,
    family(TROUBLE, 'What is wrong with a device, by its code.', [...new Set(troubles)]),
    family(READ, 'Whether the server could be read.', [...new Set(read)]),
  ].join('');
}

const TROUBLE = 'tunneld_fleet_trouble';
const READ = 'tunneld_fleet_server_read';

const FAMILIES: readonly { readonly name: string; readonly help: string; value(device: FleetDevice): number | null }[] =
  [
    {
      name: 'tunneld_fleet_up',
      help: 'Whether the device listens at its port.',
      value: ({ state }) => (state === 'up' ? 1 : 0),
    },
    {
      name: 'tunneld_fleet_verified',
      help: "Whether the device's own SSH server answers at the port, with the host key that was recorded.",
      value: ({ verified }) => (verified === 'yes' ? 1 : 0),
    },
    { name: 'tunneld_fleet_visitors', help: 'Open connections to the port.', value: ({ visitors }) => visitors },
    {
      name: 'tunneld_fleet_since_timestamp_seconds',
      help: 'When the device logged in.',
      value: ({ since }) => (since === undefined ? null : Date.parse(since) / 1000),
    },
    {
      name: 'tunneld_fleet_last_seen_timestamp_seconds',
      help: 'The last login or logout of the device in the log of the server.',
      value: ({ lastSeen }) => (lastSeen === undefined ? null : Date.parse(lastSeen) / 1000),
    },
  ];

function family(name: string, help: string, samples: readonly string[]): string {
  return samples.length === 0 ? '' : `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${samples.join('\n')}\n`;
}

/** Values as the text format escapes them. */
function labels(values: Readonly<Record<string, string>>): string {
  const all = Object.entries(values).map(
    ([name, value]) => `${name}="${value.replaceAll(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`,
  );
  return `{${all.join(',')}}`;
}
