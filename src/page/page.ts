import { formatDuration } from '../lib/text.ts';
import type { FailureStatus, TunnelStatus } from '../status/document.ts';
import { connect, type Link } from './connection.ts';
import { byId, element, setAttribute, setItems, setText, table } from './dom.ts';
import { formatTime } from './format.ts';
import { brokenSince, lookOf, SIGNS, stateText, summary } from './judgement.ts';
import { logView } from './log-view.ts';
import { applyChange, initialPage, type PageState } from './state.ts';
import { anchorOf, tunnelCard, type TunnelCard } from './tunnel-card.ts';

const cards = new Map<string, TunnelCard>();
const failures = table(
  'Failures and their cures',
  ['When', 'Tunnel', 'What happened', 'What to do'],
  'No failure since the daemon was started.',
);
const updateLog = logView();
let state: PageState | null = null;
/** When the last event came, on the clock of this page that is never set. */
let receivedAt = 0;
let live = false;

byId('failures').append(failures.root);
connect({
  onPage: (document) => {
    // Another version of the daemon has another page.
    if (state !== null && state.daemon.version !== document.daemon.version) location.reload();
    show(initialPage(document));
  },
  onChange: (change) => {
    if (state !== null) show(applyChange(state, change));
  },
  onLink: showLink,
});
setInterval(tick, 1000);

function show(next: PageState): void {
  state = next;
  receivedAt = performance.now();
  const now = deviceTime();
  const { daemon, tunnels } = next;
  arrangeCards(tunnels);
  for (const tunnel of tunnels) cards.get(tunnel.name)?.update(tunnel, next, now);
  const text = summary(tunnels);
  const well = tunnels.every((tunnel) => lookOf(tunnel) === 'up');
  setText(byId('health'), text);
  const isDown = tunnels.some((tunnel) => lookOf(tunnel) === 'down');
  setAttribute(byId('health'), 'class', well ? 'up' : isDown ? 'down' : 'degraded');
  document.title = well ? 'tunneld' : `(!) ${text} – tunneld`;
  setAttribute(byId('icon'), 'href', well ? '/icon.svg' : '/icon-bad.svg');
  setItems(
    byId('problems'),
    problemsOf(next).map((problem) => [problem]),
  );
  failures.update(
    failuresOf(tunnels).map(({ name, failure }) => [
      formatTime(Date.parse(failure.at), now),
      name,
      `${failure.message} (${failure.code})`,
      failure.hint,
    ]),
  );
  updateLog(
    next.log,
    tunnels.map(({ name }) => name),
    now,
  );
  setText(byId('about'), `${daemon.version}, process ${daemon.pid}, ${daemon.config}`);
  tick();
}

/** The time of the device: its own clock, moved on by ours. */
function deviceTime(): number {
  const reported = state?.daemon.now;
  return reported === undefined ? Date.now() : Date.parse(reported) + performance.now() - receivedAt;
}

function tick(): void {
  // What is not known is not counted on.
  if (state === null || !live) return;
  const now = deviceTime();
  for (const card of cards.values()) card.tick(now);
  const current = state;
  const broken = current.tunnels.filter((tunnel) => lookOf(tunnel) !== 'up');
  const items = broken.length < current.tunnels.length || current.tunnels.length > 1 ? broken : [];
  const texts = items.map((tunnel) => troubleText(tunnel, current, now));
  const list = byId('troubles');
  if (
    list.childElementCount !== items.length ||
    items.some(
      ({ name }, index) => list.children[index]?.firstElementChild?.getAttribute('href') !== `#${anchorOf(name)}`,
    )
  )
    setItems(
      list,
      items.map(({ name }, index) => [
        element('a', { href: `#${anchorOf(name)}` }, name),
        document.createTextNode(texts[index]!),
      ]),
    );
  for (const [index, text] of texts.entries()) setText(list.children[index]!.lastChild!, text);
}

function troubleText(tunnel: TunnelStatus, current: PageState, now: number): string {
  const begun = tunnel.phase === 'up' ? Date.parse(tunnel.since) : brokenSince(current, tunnel);
  const cause = tunnel.phase === 'up' || tunnel.failure === undefined ? '' : `: ${tunnel.failure.code}`;
  return ` ${SIGNS[lookOf(tunnel)]} ${stateText(tunnel)} for ${formatDuration(now - begun)}${cause}`;
}

/** In the order of the configuration; what is open in one that stays is not touched. */
function arrangeCards(tunnels: readonly TunnelStatus[]): void {
  const place = byId('tunnels');
  const names = tunnels.map(({ name }) => name);
  for (const [name, card] of cards) {
    if (names.includes(name)) continue;
    card.root.remove();
    cards.delete(name);
  }
  for (const [index, name] of names.entries()) {
    const card = cards.get(name) ?? tunnelCard(name, { day: names.length <= FEW, tables: names.length === 1 });
    cards.set(name, card);
    if (place.children[index] !== card.root) place.insertBefore(card.root, place.children[index] ?? null);
  }
}

/** So many are shown with their last day. */
const FEW = 6;

function problemsOf({ daemon }: PageState): readonly string[] {
  const { configProblem, trial, problems = [] } = daemon;
  return [
    ...(configProblem === undefined
      ? []
      : [`the configuration file is not valid, and the daemon runs an older one: ${configProblem.message}`]),
    ...(trial === undefined
      ? []
      : [
          `a configuration is on trial until ${formatTime(Date.parse(trial.until), deviceTime())}: run \`tunneld confirm\` to keep it`,
        ]),
    ...problems,
  ];
}

function failuresOf(
  tunnels: readonly TunnelStatus[],
): readonly { readonly name: string; readonly failure: FailureStatus }[] {
  const all = tunnels.flatMap(({ name, failure, forwards }) => {
    const found = [failure, ...forwards.map(({ targetFailure }) => targetFailure)];
    return found.flatMap((each) => (each === undefined ? [] : [{ name, failure: each }]));
  });
  return all.toSorted((a, b) => b.failure.at.localeCompare(a.failure.at)).slice(0, MAX_FAILURES);
}

const MAX_FAILURES = 12;

function showLink(link: Link): void {
  live = link.type === 'live';
  const target = byId('link');
  setAttribute(target, 'class', live ? 'live' : 'waiting');
  document.body.classList.toggle('stale', !live);
  if (link.type === 'live') setText(target, 'Live');
  else if (link.type === 'refused') setText(target, `Not connected: ${link.reason}`);
  else
    setText(
      target,
      state === null
        ? 'The daemon does not answer; trying again…'
        : `The daemon does not answer since ${lastHeard()}; trying again…`,
    );
}

function lastHeard(): string {
  return formatTime(Date.now() - (performance.now() - receivedAt), Date.now());
}
