import type { FailureStatus, ForwardStatus, PreviousTunnel, TunnelStatus } from '../../status/document.ts';
import type { Paint } from '../../lib/paint.ts';
import { formatAge, formatDuration } from '../../lib/text.ts';
import { lengthOf } from './history-text.ts';
import { certificateText } from '../../model/host-certificate.ts';
import { FORWARD_FLAGS } from '../../model/spec.ts';
import { EXPOSED, type Phase } from '../../model/state.ts';
import { downSince } from './status-summary.ts';
import { alignColumns } from './table.ts';
import { formatTime } from './time.ts';

/** All that is known of one tunnel, as lines. `now` is the daemon's. */
export function formatTunnel(tunnel: TunnelStatus, now: number, paint: Paint): readonly string[] {
  const up = tunnel.phase === 'up';
  if (tunnel.servers?.standby === true)
    return [`${tunnel.name}: ${paint('standby', 90)}, ${tunnel.server}, until no server before it has the tunnel`];
  const facts = factsOf(tunnel, now, paint);
  return [
    `${tunnel.name}: ${facts.join(', ')}`,
    ...(up ? [...formatAlgorithms(tunnel), ...formatCertificate(tunnel)] : []),
    ...tunnel.forwards.flatMap((forward) => formatForward(forward, now, paint)),
    ...(up && tunnel.lastOutage !== undefined ? [`  last outage: ${formatOutage(tunnel.lastOutage, now)}`] : []),
    ...(tunnel.failure === undefined
      ? []
      : formatFailure(tunnel.failure, up ? 'last failure' : 'failure', now, '  ', !up)),
    ...(tunnel.previous ?? []).map((old) => formatPrevious(old, now)),
  ];
}

function factsOf(tunnel: TunnelStatus, now: number, paint: Paint): readonly string[] {
  const up = tunnel.phase === 'up';
  const elsewhere = tunnel.servers?.elsewhere;
  return [
    `${paint(tunnel.phase, PHASE_COLOURS[tunnel.phase])}${up ? ` ${since(tunnel.since, now)}` : ''}`,
    ...(up ? [] : [`not up ${since(downSince(tunnel), now)}`]),
    [tunnel.server, ...(tunnel.via === undefined ? [] : [`via ${tunnel.via.join(', ')}`])].join(' '),
    ...(elsewhere === undefined ? [] : [`the tunnel is up at ${elsewhere}`]),
    ...(tunnel.carrier === undefined ? [] : [`over the connection of ${tunnel.carrier}`]),
    ...(tunnel.silentSince === undefined ? [] : [`no answer ${since(tunnel.silentSince, now)}`]),
    ...(tunnel.rttMs === undefined ? [] : [`${tunnel.rttMs} ms`]),
    ...(tunnel.attempts > 1 ? [`attempt ${tunnel.attempts}`] : []),
    ...(tunnel.retryAt === undefined ? [] : [`next try ${ahead(tunnel.retryAt, now)}`]),
  ];
}

/** What protects the connection; a daemon of an older version does not say it. */
function formatAlgorithms({ keyExchange, hostKeyAlgorithm, hostCertificate }: TunnelStatus): readonly string[] {
  if (keyExchange === undefined || hostKeyAlgorithm === undefined) return [];
  return [
    `  key exchange ${keyExchange}, host key ${hostKeyAlgorithm}`,
    ...(hostCertificate === undefined ? [] : [`  host key trusted by its ${certificateText(hostCertificate)}`]),
  ];
}

/** The certificate of the login, with its end. */
function formatCertificate({ certificate }: TunnelStatus): readonly string[] {
  if (certificate === undefined) return [];
  const { file = 'of the agent', keyId, principals, validUntil, problem } = certificate;
  const names = principals.length === 0 ? 'no principals' : principals.join(', ');
  return [
    `  certificate ${file} (${keyId}) for ${names}, valid ${validUntil === undefined ? 'for ever' : `until ${validUntil}`}`,
    ...(problem === undefined ? [] : [`  warning: ${problem}`]),
  ];
}

/** An outage that is over, in a line. */
export function formatOutage({ cause, to, durationMs }: NonNullable<TunnelStatus['lastOutage']>, now: number): string {
  return `down ${lengthOf(durationMs)}, ${ago(to, now)}: ${cause}`;
}

function formatPrevious({ name, phase, since: start, server, listen }: PreviousTunnel, now: number): string {
  const where = listen.length === 0 ? 'without a listener' : `listening on ${listen.join(', ')}`;
  return `  until it is up, its predecessor ${name} keeps running: ${phase} ${since(start, now)}, ${server}, ${where}`;
}

const PHASE_COLOURS: Readonly<Record<Phase, number>> = {
  up: 32,
  'waiting-for-network': 33,
  connecting: 33,
  authenticating: 33,
  forwarding: 33,
  waiting: 33,
  blocked: 31,
  stopped: 90,
};

function formatForward(forward: ForwardStatus, now: number, paint: Paint): readonly string[] {
  const state = paint(forward.state, forward.state === 'up' ? 32 : forward.state === 'refused' ? 31 : 33);
  const why = forward.unverified === undefined ? '' : `: ${forward.unverified}`;
  const verified = forward.state === 'up' ? ` (verified: ${forward.verified}${why})` : '';
  const traffic = `${forward.connections} open, ${forward.totalConnections} in all, ${size(forward.bytesIn)} in, ${size(forward.bytesOut)} out`;
  return [
    `  ${FORWARD_FLAGS[forward.kind]} ${forward.listen} → ${forward.target}  ${state}${verified}, ${traffic}`,
    ...formatConnections(forward, now),
    ...(forward.exposed === true ? [`    ${paint('open to others', 33)}: ${EXPOSED}`] : []),
    ...(forward.targetFailure === undefined ? [] : formatFailure(forward.targetFailure, 'target', now, '    ', true)),
  ];
}

function formatConnections(
  { connections, openConnections = [], target: usual }: ForwardStatus,
  now: number,
): readonly string[] {
  const rows = openConnections.map(({ originator, target, since: start, bytesIn, bytesOut }) => [
    target === usual ? originator : `${originator} → ${target}`,
    `since ${moment(start, now)}`,
    `${size(bytesIn)} in`,
    `${size(bytesOut)} out`,
  ]);
  const more = connections - openConnections.length;
  return [
    ...alignColumns(rows).map((row) => `     ${row}`),
    ...(rows.length === 0 || more <= 0 ? [] : [`     and ${more} that came later`]),
  ];
}

function formatFailure(
  failure: FailureStatus,
  what: string,
  now: number,
  indent: string,
  hint: boolean,
): readonly string[] {
  return [
    `${indent}${what}: ${failure.code} (${moment(failure.at, now)}): ${failure.message}`,
    ...(hint ? [`${indent}${failure.hint}`] : []),
  ];
}

function since(iso: string, now: number): string {
  return `for ${formatAge(iso, now)} (since ${formatTime(iso, now)})`;
}

export function ago(iso: string, now: number): string {
  return `${formatAge(iso, now)} ago`;
}

export function ahead(iso: string, now: number): string {
  return `in ${formatDuration(Date.parse(iso) - now)}`;
}

/** A time of the past, in the local time zone. */
function moment(iso: string, now: number): string {
  return `${formatTime(iso, now)}, ${ago(iso, now)}`;
}

/** Bytes in powers of 1024. */
function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const exponent = Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length);
  return `${(bytes / 1024 ** exponent).toFixed(1)} ${UNITS[exponent - 1]}`;
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'] as const;
