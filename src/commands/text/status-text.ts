import { plural } from '../../lib/text.ts';
import type { ForwardStatus, StatusDocument, TunnelStatus } from '../../status/document.ts';
import { painter } from '../../lib/paint.ts';
import { ago, ahead, formatOutage, formatTunnel } from './status-details.ts';
import { conditionOf, downSince, summarize, worstFirst, type Condition } from './status-summary.ts';
import { COLUMN_GAP, padColumns } from './table.ts';
import { cutToWidth, displayWidth, wrapLine } from './width.ts';

/** What a status is printed on. */
export interface View {
  readonly colour: boolean;
  /** In cells, infinite for what is no terminal. */
  readonly width: number;
  /** In lines, infinite for what is no terminal. */
  readonly height: number;
}

/** What is printed besides the document. */
export interface Extras {
  /** First, in red: about the daemon. */
  readonly notes: readonly string[];
  /** Last: lines of the log. */
  readonly log: readonly string[];
}

const NO_EXTRAS: Extras = { notes: [], log: [] };

/** A page without limits or colours. */
export const PLAIN: View = { colour: false, width: Number.POSITIVE_INFINITY, height: Number.POSITIVE_INFINITY };

/**
 * The status for a person: how the worst tunnel is, one row a tunnel, the worst first, and the details of those that are not well. Where
 * that is too high for the view, what matters least is left out, and the last line says how much.
 */
export function formatStatus(
  document: StatusDocument,
  view: View,
  { notes, log }: Extras = NO_EXTRAS,
): readonly string[] {
  const now = nowOf(document);
  const tunnels = worstFirst(document.tunnels);
  const unwell = tunnels.filter((tunnel) => needsDetails(tunnel));
  const paint = painter(view.colour);
  const { text, worst } = summarize(tunnels, now);
  const [titles = '', ...rows] = formatRows(tunnels, now, view);
  const head = [
    // A daemon that does not answer makes all that follows the past.
    ...wrapAll(notes, view).map((line) => paint(line, 31)),
    ...wrapLine(`tunneld: ${text}`, view.width).map((line) => paint(line, CONDITION_COLOURS[worst])),
    ...wrapAll(formatProblems(document, now), view).map((line) => paint(line, 31)),
    paint(titles, 90),
  ];
  const plain = (line: string) => line;
  const details = unwell.map((tunnel) => wrapAll(formatTunnel(tunnel, now, plain), view));
  const outages = tunnels.flatMap(({ name, phase, lastOutage }) =>
    phase === 'up' && lastOutage !== undefined ? [`${name}: ${formatOutage(lastOutage, now)}`] : [],
  );
  const foot = [
    `tunneld ${document.version}, pid ${document.pid}, started ${ago(document.startedAt, now)}`,
    ...withoutNativeCrypto(document),
  ];
  return fit(
    {
      head,
      rows,
      urgent: unwell.length,
      details,
      outages: outages.map((line) => cutToWidth(line, view.width)),
      log: unwell.length === 0 ? [] : log.map((line) => cutToWidth(line, view.width)),
      foot: foot.map((line) => paint(cutToWidth(line, view.width), 90)),
    },
    view,
  );
}

function withoutNativeCrypto({ nativeCryptoProblem: problem }: StatusDocument): readonly string[] {
  return problem === undefined ? [] : [`native crypto is not used: ${problem}`];
}

/** That a listener is not verified yet, or is not to be, is no reason to explain it. */
function needsDetails(tunnel: TunnelStatus): boolean {
  const condition = conditionOf(tunnel);
  if (condition === 'well') return false;
  return condition !== 'unverified' || tunnel.forwards.some(({ exposed }) => exposed === true);
}

/** Everything about the tunnels of the document. Only lines that need not be wrapped are coloured. */
export function formatInDetail(
  document: StatusDocument,
  view: View,
  { notes, log }: Extras = NO_EXTRAS,
): readonly string[] {
  const now = nowOf(document);
  const paint = painter(view.colour && view.width === Number.POSITIVE_INFINITY);
  const tunnels = document.tunnels.map((tunnel) => formatTunnel(tunnel, now, paint));
  const problems = [...notes, ...formatProblems(document, now)];
  const lines = [
    ...wrapAll(problems, view).map((line) => painter(view.colour)(line, 31)),
    ...wrapAll([...tunnels.flatMap((one, index) => (index === 0 ? one : ['', ...one])), ...section(log)], view),
  ];
  if (lines.length <= view.height) return lines;
  const shown = lines.slice(0, view.height - 1);
  return [...shown, `… ${lines.length - shown.length} more lines: tunneld status NAME | less`];
}

/** Not the clock of this process, which may have been set since; only an old daemon names none. */
function nowOf({ now }: StatusDocument): number {
  return now === undefined ? Date.now() : Date.parse(now);
}

function wrapAll(lines: readonly string[], { width }: View): readonly string[] {
  return lines.flatMap((line) => line.split('\n')).flatMap((line) => wrapLine(line, width));
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

const CONDITION_COLOURS: Readonly<Record<Condition, number>> = {
  blocked: 31,
  down: 31,
  silent: 33,
  starting: 33,
  degraded: 33,
  unverified: 32,
  well: 32,
};

/** Titles and rows. Where they are too wide, the ports are cut first, then all that is beyond the edge. */
function formatRows(tunnels: readonly TunnelStatus[], now: number, { colour, width }: View): readonly string[] {
  const cells = [TITLES, ...tunnels.map((tunnel) => cellsOf(tunnel, now))];
  const excess = displayWidth(padColumns(cells)[0]!.join(COLUMN_GAP)) - width;
  const widest = Math.max(...cells.map((row) => displayWidth(row[PORT]!)));
  const room = Math.max(NARROWEST, widest - Math.max(0, excess));
  const fitting = cells.map((row) => row.map((cell, index) => (index === PORT ? cutToWidth(cell, room) : cell)));
  const paint = painter(colour);
  return padColumns(fitting).map((row, index) => {
    const line = cutToWidth(row.join(COLUMN_GAP).trimEnd(), width);
    const tunnel = tunnels[index - 1];
    if (tunnel === undefined) return line;
    // The state alone is coloured, where it is not cut off.
    const start = displayWidth(row[0]!) + COLUMN_GAP.length;
    const end = start + row[1]!.trimEnd().length;
    if (end > line.length) return line;
    const state = paint(line.slice(start, end), CONDITION_COLOURS[conditionOf(tunnel)]);
    return `${line.slice(0, start)}${state}${line.slice(end)}`;
  });
}

const TITLES = ['TUNNEL', 'STATE', 'SINCE', 'PORT', 'VERIFIED', 'VISITORS'] as const;
const PORT = TITLES.indexOf('PORT');
const NARROWEST = 6;

function cellsOf(tunnel: TunnelStatus, now: number): readonly string[] {
  const { name, phase, since, forwards, servers } = tunnel;
  const condition = conditionOf(tunnel);
  return [
    name,
    servers?.standby === true ? 'standby' : condition === 'silent' || condition === 'degraded' ? condition : phase,
    servers?.standby === true ? '-' : ago(phase === 'up' ? since : downSince(tunnel), now),
    forwards.map(portOf).join(', '),
    verifiedOf(forwards),
    String(forwards.reduce((sum, { connections }) => sum + connections, 0)),
  ];
}

/** Where it listens: the number alone for a port of the server's loopback, else as with ssh. */
function portOf({ kind, listen }: ForwardStatus): string {
  const short = listen.replace(/^localhost:(?=\d+$)/, '');
  return kind === 'remote' ? short : `${kind === 'local' ? '-L' : '-D'} ${short}`;
}

/** The worst of the listeners of the server that are up. */
function verifiedOf(forwards: readonly ForwardStatus[]): string {
  const seen = forwards
    .filter(({ kind, state }) => kind === 'remote' && state === 'up')
    .map(({ verified }) => verified);
  if (seen.length === 0) return '-';
  return seen.includes('no') ? 'no' : seen.includes('unknown') ? 'unknown' : 'yes';
}

/** What there is to print, as lines. */
interface Sections {
  readonly head: readonly string[];
  /** One a tunnel. */
  readonly rows: readonly string[];
  /** How many of the rows, from the first on, are of tunnels that are not well. */
  readonly urgent: number;
  readonly details: readonly (readonly string[])[];
  readonly outages: readonly string[];
  readonly log: readonly string[];
  readonly foot: readonly string[];
}

/** Pure: what is urgent is kept first, then its details, the other rows, past outages and the log. */
function fit(
  { head, rows, urgent, details, outages, log, foot }: Sections,
  { width, height }: View,
): readonly string[] {
  let left = height - Math.min(head.length, height);
  const take = (wanted: number): number => {
    const taken = Math.max(0, Math.min(wanted, left));
    left -= taken;
    return taken;
  };
  const all = [...head, ...rows, ...[[...details.flat(), ...outages], log, foot].flatMap(section)];
  if (all.length <= height) return all;
  // The last line says what is missing.
  take(1);
  const urgentRows = take(urgent);
  let shown = 0;
  while (shown < details.length && details[shown]!.length + (shown === 0 ? 1 : 0) <= left) {
    take(details[shown]!.length + (shown === 0 ? 1 : 0));
    shown += 1;
  }
  const shownRows = urgentRows + take(rows.length - urgent);
  const blank = shown > 0 ? 0 : 1;
  const shownOutages = left > blank && outages.length > 0 ? take(outages.length + blank) - blank : 0;
  const block = [...details.slice(0, shown).flat(), ...outages.slice(0, shownOutages)];
  return [
    ...head.slice(0, height - 1),
    ...rows.slice(0, shownRows),
    ...section(block),
    cutToWidth(missing(rows.length - shownRows, details.length - shown), width),
  ];
}

function section(lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', ...lines];
}

function missing(rows: number, details: number): string {
  const what = [
    ...(rows === 0 ? [] : [plural(rows, 'more tunnel')]),
    ...(details === 0 ? [] : [`the details of ${details}`]),
  ];
  return `… ${what.length === 0 ? 'more' : what.join(' and ')}: tunneld status | less`;
}
