import type { ForwardStatus, StatusDocument, TunnelStatus } from '../status/document.ts';
import { PHASES } from '../model/state.ts';

/** One metric: its values out of a status. Names follow Prometheus' conventions: base units, `_total` behind a counter, which only grows. */
export interface MetricRow {
  readonly name: string;
  readonly help: string;
  readonly values: Values;
}

type Values = (status: StatusDocument) => readonly Value[];

/** Labels, all of them names out of the configuration or fixed words, and a number. */
type Value = readonly [labels: Readonly<Record<string, string>>, value: number];

export const METRIC_ROWS: readonly MetricRow[] = [
  {
    name: 'tunneld_build_info',
    help: 'Always 1; the versions that run.',
    values: ({ version }) => [[{ version, node: process.version }, 1]],
  },
  {
    name: 'tunneld_healthy',
    help: 'Whether the health is ok: every tunnel up, verified where that is required, every target reached.',
    values: ({ health }) => [[{}, Number(health === 'ok')]],
  },
  {
    name: 'tunneld_problems',
    help: 'Things that the daemon does without though it should not have to (its socket, its state, its log).',
    values: ({ problems = [] }) => [[{}, problems.length]],
  },
  {
    name: 'tunneld_configuration_valid',
    help: 'Whether the configuration file is valid as it is now.',
    values: ({ configProblem }) => [[{}, Number(configProblem === undefined)]],
  },
  {
    name: 'process_start_time_seconds',
    help: 'Start time of the process since unix epoch in seconds.',
    values: ({ startedAt }) => [[{}, Date.parse(startedAt) / 1000]],
  },
  ofProcess('process_cpu_seconds_total', 'Total user and system CPU time spent in seconds.', 'cpuSeconds'),
  ofProcess('process_resident_memory_bytes', 'Resident memory size in bytes.', 'residentBytes'),
  ofProcess('process_open_fds', 'Number of open file descriptors.', 'openFileDescriptors'),
  ofTunnel('tunneld_tunnel_up', 'Whether the tunnel is up.', ({ phase }) => Number(phase === 'up')),
  ofTunnel(
    'tunneld_tunnel_verified',
    'Whether the tunnel is up and every one of its remote listeners was seen to lead here.',
    ({ phase, forwards }) =>
      Number(phase === 'up' && forwards.every(({ kind, verified }) => kind !== 'remote' || verified === 'yes')),
  ),
  {
    name: 'tunneld_tunnel_phase',
    help: 'The phase of the tunnel: 1 for the present one.',
    values: ({ tunnels }) =>
      running(tunnels).flatMap((tunnel) =>
        PHASES.map((phase) => [{ tunnel: tunnel.name, phase }, Number(tunnel.phase === phase)] as const),
      ),
  },
  ofTunnel('tunneld_tunnel_phase_seconds', 'For how long the tunnel has been in its phase.', ({ since }, now) =>
    Math.max(0, (now - Date.parse(since)) / 1000),
  ),
  ofTunnel('tunneld_tunnel_attempts_total', 'Attempts to connect.', ({ totalAttempts }) => totalAttempts),
  ofTunnel('tunneld_tunnel_logins_total', 'Logins; all but the first are reconnects.', ({ logins }) => logins),
  ofTunnel('tunneld_tunnel_rtt_seconds', 'Round trip to the server, as last measured.', ({ rttMs }) =>
    rttMs === undefined ? undefined : rttMs / 1000,
  ),
  ofTunnel(
    'tunneld_tunnel_certificate_expiry_timestamp_seconds',
    'When the certificate of the login expires, since unix epoch in seconds; none for one without an end.',
    ({ certificate }) =>
      certificate?.validUntil === undefined ? undefined : Date.parse(certificate.validUntil) / 1000,
  ),
  ofTunnel(
    'tunneld_tunnel_certificate_renewal_due',
    'Whether the certificate of the login has expired or will soon, and its file has no renewed one.',
    ({ certificate }) => (certificate === undefined ? undefined : Number(certificate.problem !== undefined)),
  ),
  {
    name: 'tunneld_tunnel_key_exchanges_total',
    help: 'Logins by the key exchange that was agreed on.',
    values: ({ tunnels }) =>
      tunnels.flatMap(({ name, keyExchanges = {} }) =>
        Object.entries(keyExchanges).map(([algorithm, count]) => [{ tunnel: name, algorithm }, count] as const),
      ),
  },
  {
    name: 'tunneld_tunnel_server',
    help: 'Of a tunnel with several servers: 1 where the server is to have it, 0 on standby; `of` is the tunnel of the file.',
    values: ({ tunnels }) =>
      tunnels.flatMap(({ name, server, servers }) =>
        servers === undefined
          ? []
          : [[{ tunnel: name, server, of: servers.tunnel }, Number(servers.standby !== true)] as const],
      ),
  },
  ofOutages(
    'tunneld_tunnel_outages_total',
    'Outages that are over, by cause, since the daemon started.',
    ({ count }) => count,
  ),
  ofOutages('tunneld_tunnel_outage_seconds_total', 'What those outages lasted, by cause.', ({ seconds }) => seconds),
  ofForward('tunneld_forward_up', 'Whether the listener is there.', ({ state }) => Number(state === 'up')),
  ofForward('tunneld_forward_open_connections', 'Open connections.', ({ connections }) => connections),
  ofForward('tunneld_forward_connections_total', 'Connections that were served.', (f) => f.totalConnections),
  ofForward(
    'tunneld_forward_connections_refused_total',
    'Connections that were not served: the target did not answer, or too many at once.',
    ({ refusedConnections }) => refusedConnections,
  ),
  ofForward(
    'tunneld_forward_connections_cut_total',
    'Connections that were cut by the loss of the SSH connection.',
    ({ cutConnections = 0 }) => cutConnections,
  ),
  ofForward('tunneld_forward_received_bytes_total', 'Bytes that visitors sent.', ({ bytesIn }) => bytesIn),
  ofForward('tunneld_forward_sent_bytes_total', 'Bytes that visitors got.', ({ bytesOut }) => bytesOut),
  ofForward('tunneld_forward_target_failing', 'Whether the target failed when it was last asked.', (f) =>
    Number(f.targetFailure !== undefined),
  ),
];

/** A server on standby is not down. */
function running(tunnels: readonly TunnelStatus[]): readonly TunnelStatus[] {
  return tunnels.filter(({ servers }) => servers?.standby !== true);
}

function ofProcess(name: string, help: string, key: keyof NonNullable<StatusDocument['process']>): MetricRow {
  const values: Values = ({ process }) => (process === undefined ? [] : [[{}, process[key]]]);
  return { name, help, values };
}

/** A tunnel of which the number is not known has no such metric. */
function ofTunnel(
  name: string,
  help: string,
  value: (tunnel: TunnelStatus, now: number) => number | undefined,
): MetricRow {
  const values: Values = ({ tunnels, now = '' }) =>
    running(tunnels).flatMap((tunnel) => {
      const number = value(tunnel, Date.parse(now));
      return number === undefined ? [] : [[{ tunnel: tunnel.name }, number] as const];
    });
  return { name, help, values };
}

function ofOutages(
  name: string,
  help: string,
  value: (outages: NonNullable<TunnelStatus['outages']>[string]) => number,
): MetricRow {
  const values: Values = ({ tunnels }) =>
    tunnels.flatMap((tunnel) =>
      Object.entries(tunnel.outages ?? {}).map(
        ([cause, outages]) => [{ tunnel: tunnel.name, cause }, value(outages)] as const,
      ),
    );
  return { name, help, values };
}

function ofForward(name: string, help: string, value: (forward: ForwardStatus) => number): MetricRow {
  const values: Values = ({ tunnels }) =>
    running(tunnels).flatMap(({ name: tunnel, forwards }) =>
      forwards.map((forward) => [{ tunnel, kind: forward.kind, listen: forward.listen }, value(forward)] as const),
    );
  return { name, help, values };
}
