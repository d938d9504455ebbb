import type {
  FailureStatus,
  ForwardStatus,
  PreviousTunnel,
  StatusDocument,
  TunnelStatus,
} from '../../status/document.ts';
import { formatDuration } from '../../lib/text.ts';
import { EXPOSED, type Phase } from '../../model/state.ts';

/** The status for a person. */
export function formatStatus(document: StatusDocument, colour: boolean): string {
  // Not the clock of this process, which may have been set since.
  const now = document.now === undefined ? Date.now() : Date.parse(document.now);
  const paint = (text: string, ansi: number) => (colour ? `\u001b[${ansi}m${text}\u001b[39m` : text);
  const head = `tunneld ${document.version}, pid ${document.pid}, ${document.health}, started ${ago(document.startedAt, now)}`;
  const problems = formatProblems(document, now).map((text) => paint(text, 31));
  return `${[[head, ...problems].join('\n'), ...document.tunnels.map((tunnel) => formatTunnel(tunnel, now, paint))].join('\n\n')}\n`;
}

/** The problems of the configuration file, a trial, and what the daemon does without. */
function formatProblems(
  { config, configProblem, trial, problems = [] }: StatusDocument,
  now: number,
): readonly string[] {
  return [
    ...(configProblem === undefined
      ? []
      : [
          `${config} is not valid (seen ${ago(configProblem.at, now)}); an older configuration runs: see tunneld check`,
          ...configProblem.message.split('\n').map((line) => `  ${line}`),
        ]),
    ...(trial === undefined
      ? []
      : [
          `a configuration is on trial and ends ${ahead(trial.until, now)}: ${
            trial.waitingFor.length === 0 ? 'tunneld confirm keeps it' : `not up yet: ${trial.waitingFor.join(', ')}`
          }`,
        ]),
    ...problems,
  ];
}

type Paint = (text: string, ansi: number) => string;

function formatTunnel(tunnel: TunnelStatus, now: number, paint: Paint): string {
  const up = tunnel.phase === 'up';
  const facts = [
    `${paint(tunnel.phase, PHASE_COLOURS[tunnel.phase])} ${since(tunnel.since, now)}`,
    [tunnel.server, ...(tunnel.via === undefined ? [] : [`via ${tunnel.via.join(', ')}`])].join(' '),
    ...(tunnel.carrier === undefined ? [] : [`over the connection of ${tunnel.carrier}`]),
    ...(tunnel.silentSince === undefined ? [] : [`no answer ${since(tunnel.silentSince, now)}`]),
    ...(tunnel.rttMs === undefined ? [] : [`${tunnel.rttMs} ms`]),
    ...(tunnel.attempts > 1 ? [`attempt ${tunnel.attempts}`] : []),
    ...(tunnel.retryAt === undefined ? [] : [`next try ${ahead(tunnel.retryAt, now)}`]),
  ];
  return [
    `${tunnel.name}: ${facts.join(', ')}`,
    ...tunnel.forwards.flatMap((forward) => formatForward(forward, now, paint)),
    ...(tunnel.failure === undefined
      ? []
      : formatFailure(tunnel.failure, up ? 'last failure' : 'failure', now, '  ', !up)),
    ...(tunnel.previous ?? []).map((old) => formatPrevious(old, now)),
  ].join('\n');
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

/** The kind of forward, as the option of ssh. */
const WHERE: Readonly<Record<ForwardStatus['kind'], string>> = { remote: '-R', local: '-L', dynamic: '-D' };

function formatForward(forward: ForwardStatus, now: number, paint: Paint): readonly string[] {
  const state = paint(forward.state, forward.state === 'up' ? 32 : forward.state === 'refused' ? 31 : 33);
  const why = forward.unverified === undefined ? '' : `: ${forward.unverified}`;
  const verified = forward.state === 'up' ? ` (verified: ${forward.verified}${why})` : '';
  const traffic = `${forward.connections} open, ${forward.totalConnections} in all, ${size(forward.bytesIn)} in, ${size(forward.bytesOut)} out`;
  return [
    `  ${WHERE[forward.kind]} ${forward.listen} → ${forward.target}  ${state}${verified}, ${traffic}`,
    ...(forward.exposed === true ? [`    ${paint('open to others', 33)}: ${EXPOSED}`] : []),
    ...(forward.targetFailure === undefined ? [] : formatFailure(forward.targetFailure, 'target', now, '    ', true)),
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
    `${indent}${what}: ${failure.code} (${ago(failure.at, now)}): ${failure.message}`,
    ...(hint ? [`${indent}${failure.hint}`] : []),
  ];
}

function since(iso: string, now: number): string {
  return `for ${formatDuration(now - Date.parse(iso))}`;
}

function ago(iso: string, now: number): string {
  return `${formatDuration(now - Date.parse(iso))} ago`;
}

function ahead(iso: string, now: number): string {
  return `in ${formatDuration(Date.parse(iso) - now)}`;
}

/** Bytes in powers of 1024. */
function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const exponent = Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length);
  return `${(bytes / 1024 ** exponent).toFixed(1)} ${UNITS[exponent - 1]}`;
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'] as const;
