import { FORWARD_FLAGS } from '../model/spec.ts';
import type { ForwardStatus, TunnelStatus } from '../status/document.ts';
import { formatAge, formatDuration, plural } from '../lib/text.ts';
import { lengthOf, shareOf, type Past } from '../history/summary.ts';
import { charts } from './charts.ts';
import { element, setAttribute, setText, table } from './dom.ts';
import { formatBytes, formatLength, formatMs, formatShare, formatTime } from './format.ts';
import { brokenSince, lookOf, SIGNS, stateText, troubleOf } from './judgement.ts';
import { own } from './own.ts';
import { pastAt } from './past.ts';
import { dayRibbon, daysRibbon } from './ribbon.ts';
import type { PageState } from './state.ts';

export interface TunnelCard {
  readonly root: HTMLElement;
  /** The daemon has sent something new. */
  update(tunnel: TunnelStatus, state: PageState, now: number): void;
  /** Time has passed. */
  tick(now: number): void;
}

export function tunnelCard(name: string, open: OpenParts): TunnelCard {
  const sign = element('span', { class: 'sign', 'aria-hidden': 'true' });
  const [words, since] = [element('span', { class: 'state' }), element('span', { class: 'since' })];
  const server = element('p', { class: 'server' });
  const [message, cure] = [element('p'), element('span')];
  const hint = element('p', {}, element('b', {}, 'What to do:'), ' ', cure);
  const trouble = element('div', { class: 'trouble' }, message, hint);
  const title = element('h3', { id: anchorOf(name), tabindex: '-1' }, name);
  const days = daysRibbon(name);
  const day = lastDay(name, open.day);
  const tables = forwardsAndOutages(name, open.tables);
  const root = element(
    'article',
    { 'aria-labelledby': anchorOf(name) },
    element('div', { class: 'head' }, sign, title, words, since),
    server,
    trouble,
    days.root,
    day.root,
    tables.root,
  );
  let current: { readonly tunnel: TunnelStatus; readonly state: PageState } | null = null;
  let drawn = { minute: -1, history: null as PageState['history'] | null };
  const tick = (now: number) => {
    if (current === null) return;
    const { tunnel, state } = current;
    const begun = tunnel.phase === 'up' ? Date.parse(tunnel.since) : brokenSince(state, tunnel);
    setText(since, `for ${formatDuration(now - begun)}`);
    const wrong = troubleOf(tunnel, now);
    trouble.hidden = wrong === null;
    setText(message, wrong?.message ?? '');
    setText(cure, wrong?.hint ?? '');
    hint.hidden = (wrong?.hint ?? '') === '';
    tables.tick(now);
    const minute = Math.floor(now / MINUTE_MS);
    if (minute === drawn.minute && drawn.history === state.history) return;
    drawn = { minute, history: state.history };
    const past = pastAt(state.history, tunnel.name, now);
    for (const part of [days, day, tables]) part.draw(past, now);
  };
  return {
    root,
    update: (tunnel, state, now) => {
      current = { tunnel, state };
      const look = lookOf(tunnel);
      setAttribute(root, 'class', look);
      setText(sign, SIGNS[look]);
      setText(words, stateText(tunnel));
      const rtt = tunnel.rttMs === undefined ? '' : ` · ${formatMs(tunnel.rttMs)}`;
      const via = tunnel.via === undefined ? '' : ` via ${tunnel.via.join(', ')}`;
      setText(server, `${tunnel.server}${via}${rtt}`);
      day.update(tunnel, state);
      tables.update(tunnel);
      tick(now);
    },
    tick,
  };
}

/** What is unfolded at first. */
export interface OpenParts {
  readonly day: boolean;
  readonly tables: boolean;
}

const MINUTE_MS = 60_000;

export function anchorOf(name: string): string {
  return `tunnel-${name}`;
}

function unfolding(title: string, open: boolean, ...children: readonly Node[]) {
  const summary = element('summary', {}, title);
  return { summary, root: element('details', open ? { open: '' } : {}, summary, ...children) };
}

function lastDay(name: string, open: boolean) {
  const shares = element('p', { class: 'shares' });
  const day = dayRibbon(name);
  const plots = charts(name);
  const { root } = unfolding('Last day', open, day.root, plots.root, shares);
  return {
    root,
    update: ({ rttMs }: TunnelStatus, { samples, rates }: PageState) => {
      const series = own(samples.tunnels, name) ?? null;
      plots.update(series, { rttMs: rttMs ?? null, rate: own(rates, name) ?? null, stepMs: samples.stepMs });
    },
    draw: (past: Past | null, now: number) => {
      shares.hidden = past === null;
      setText(shares, past === null ? '' : sharesText(past, now));
      day.draw(past, now);
    },
  };
}

function forwardsAndOutages(name: string, open: boolean) {
  const forwards = table(
    `Forwards of ${name}`,
    ['Listens at', 'Leads to', 'State', 'Open', 'In all', 'In', 'Out'],
    'It has no forwards.',
  );
  const visitors = table(`Open connections of ${name}`, ['From', 'To', 'For', 'In', 'Out'], 'No connection is open.');
  const outages = table(`Outages of ${name}`, ['Began', 'Lasted', 'Cause', 'Connections cut'], 'No outage is known.');
  const visitorsTitle = element('h4', {}, 'Open connections');
  const { summary, root } = unfolding(
    '',
    open,
    element('h4', {}, 'Forwards'),
    forwards.root,
    visitorsTitle,
    visitors.root,
    element('h4', {}, 'Last outages'),
    outages.root,
  );
  let tunnel: TunnelStatus | null = null;
  return {
    root,
    tick: (now: number) => {
      const rows = (tunnel?.forwards ?? []).flatMap(({ openConnections = [] }) => openConnections);
      visitors.update(rows.map((each) => visitorRow(each, now)));
    },
    update: (next: TunnelStatus) => {
      tunnel = next;
      const count = next.forwards.reduce((sum, { connections }) => sum + connections, 0);
      const listed = next.forwards.reduce((sum, { openConnections = [] }) => sum + openConnections.length, 0);
      setText(
        visitorsTitle,
        listed < count ? `Open connections (the first ${listed} of ${count})` : 'Open connections',
      );
      setText(summary, `Forwards, ${plural(count, 'connection')}, outages`);
      forwards.update(next.forwards.map(forwardRow));
    },
    draw: (past: Past | null, now: number) => {
      const last = (past?.outages ?? []).slice(-MAX_OUTAGES).toReversed();
      outages.update(last.map((outage) => outageRow(outage, now)));
    },
  };
}

function visitorRow(
  { originator, target, since, bytesIn, bytesOut }: NonNullable<ForwardStatus['openConnections']>[number],
  now: number,
): readonly string[] {
  const age = formatAge(since, now);
  return [originator, target, age, formatBytes(bytesIn), formatBytes(bytesOut)];
}

const MAX_OUTAGES = 10;

function forwardRow(forward: ForwardStatus): readonly string[] {
  const { kind, listen, target, state, verified, connections, totalConnections, bytesIn, bytesOut } = forward;
  const verdict = kind === 'remote' && state === 'up' ? `, ${VERIFIED[verified]}` : '';
  return [
    `${FORWARD_FLAGS[kind]} ${listen}`,
    target,
    `${state}${verdict}`,
    String(connections),
    String(totalConnections),
    formatBytes(bytesIn),
    formatBytes(bytesOut),
  ];
}

const VERIFIED = { yes: 'verified', no: 'leads elsewhere', unknown: 'not verified' } as const;

function sharesText(past: Past, now: number): string {
  const share = (days: number) => {
    const { availability } = shareOf(past, { from: now - days * DAY_MS, to: now });
    return availability === undefined ? '–' : formatShare(availability);
  };
  return `Up: ${share(1)} of a day, ${share(7)} of a week, ${share(30)} of a month`;
}

const DAY_MS = 86_400_000;

function outageRow(outage: Past['outages'][number], now: number): readonly string[] {
  const goesOn = 'to' in outage ? '' : ', goes on';
  return [
    formatTime(outage.from, now),
    `${formatLength(lengthOf(outage, now))}${goesOn}`,
    outage.message === '' ? outage.cause : `${outage.cause}: ${outage.message}`,
    String(outage.visitors),
  ];
}
