import { plural } from '../lib/text.ts';
import { lengthOf, type Past, shareOf, type Span } from '../history/summary.ts';
import { element, setAttribute, setText, svg } from './dom.ts';
import { formatDay, formatLength, formatShare, formatTime } from './format.ts';
import { cellsOfDays, partsOf, severity, spanOf, type Cell } from './past.ts';

/** A picture of some time, with a line of text below it about the place under the pointer, or the one chosen with the arrow keys. */
export interface Ribbon {
  readonly root: HTMLElement;
  draw(past: Past | null, now: number): void;
}

const DAYS = 90;
const DAY_MS = 86_400_000;

/** One bar for each of the last 90 days: green, and red from the top where it was down. */
export function daysRibbon(name: string): Ribbon {
  let cells: readonly Cell[] = [];
  const { root, picture, show } = ribbon(DAYS, (index) => {
    const cell = cells[index];
    return cell === undefined ? '' : dayText(cell);
  });
  return {
    root,
    draw: (past, now) => {
      cells = past === null ? [] : cellsOfDays(past, DAYS, now);
      const all = shareText(past, { from: now - DAYS * DAY_MS, to: now });
      setAttribute(picture, 'aria-label', `${name}, last ${DAYS} days: ${all}`);
      picture.replaceChildren(...Array.from({ length: DAYS }, (_, index) => bar(index, cells[index])).flat());
      show('90 days ago', all, 'today');
    },
  };
}

/** The last 24 hours to the minute, as they were. */
export function dayRibbon(name: string): Ribbon {
  let past: Past | null = null;
  let end = 0;
  const { root, picture, show } = ribbon(MINUTES, (index) => {
    const span = { from: end - DAY_MS + index * MINUTE_MS, to: end - DAY_MS + (index + 1) * MINUTE_MS };
    const text = past === null ? 'not watched' : momentText(past, span, end);
    return `${formatTime(span.from, end)}: ${text}`;
  });
  return {
    root,
    draw: (known, now) => {
      past = known;
      end = now;
      const span = { from: now - DAY_MS, to: now };
      const parts = known === null ? { watched: [], down: [] } : partsOf(known, span);
      const all = shareText(known, span);
      setAttribute(picture, 'aria-label', `${name}, last 24 hours: ${all}`);
      const rect = (className: string, { from, to }: { from: number; to: number }, least: number) =>
        svg('rect', {
          class: className,
          x: from * MINUTES,
          y: 0,
          height: 10,
          width: Math.max(least, (to - from) * MINUTES),
        });
      picture.replaceChildren(
        svg('rect', { class: 'none', x: 0, y: 4, width: MINUTES, height: 2 }),
        ...parts.watched.map((part) => rect('up', part, 1)),
        // A short outage is to be seen too.
        ...parts.down.map((part) => rect('down', { ...part, from: Math.min(part.from, 1 - 4 / MINUTES) }, 4)),
      );
      show('24 hours ago', all, 'now');
    },
  };
}

/** Of a piece of time up to now. */
function shareText(past: Past | null, span: Span): string {
  const { availability, outages } = shareOf(past ?? { watched: [], outages: [] }, span);
  return availability === undefined
    ? 'not watched yet'
    : `${formatShare(availability)} up, ${plural(outages, 'outage')}`;
}

const MINUTES = 1440;
const MINUTE_MS = 60_000;

function ribbon(pieces: number, textOf: (index: number) => string) {
  const picture = svg('svg', {
    role: 'img',
    tabindex: 0,
    viewBox: `0 0 ${pieces} 10`,
    preserveAspectRatio: 'none',
    class: 'ribbon',
  });
  const [left, middle, right] = [element('span'), element('span', { class: 'chosen-text' }), element('span')];
  const caption = element('p', { class: 'caption' }, left, middle, right);
  let summaryTexts: readonly [string, string, string] = ['', '', ''];
  let chosen: number | null = null;
  const render = () => {
    const texts = chosen === null ? summaryTexts : (['', textOf(chosen), ''] as const);
    setText(left, texts[0]);
    setText(middle, texts[1]);
    setText(right, texts[2]);
    caption.classList.toggle('chosen', chosen !== null);
  };
  const choose = (index: number | null) => {
    chosen = index === null ? null : Math.min(pieces - 1, Math.max(0, index));
    render();
  };
  const under = ({ clientX }: PointerEvent) => {
    const { left: start, width } = picture.getBoundingClientRect();
    choose(Math.floor(((clientX - start) / width) * pieces));
  };
  picture.addEventListener('pointermove', under);
  picture.addEventListener('pointerdown', under);
  picture.addEventListener('pointerleave', ({ pointerType }) => {
    // A finger has to be lifted before the text can be read.
    if (pointerType === 'mouse') choose(null);
  });
  picture.addEventListener('blur', () => choose(null));
  picture.addEventListener('keydown', (event) => {
    const step = pieces > DAYS ? 15 : 1;
    const to = {
      ArrowLeft: (chosen ?? pieces) - step,
      ArrowRight: (chosen ?? pieces - 1) + step,
      Home: 0,
      End: pieces - 1,
    }[event.key];
    if (event.key === 'Escape') choose(null);
    if (to === undefined) return;
    // What is chosen is read aloud, and only then.
    middle.setAttribute('aria-live', 'polite');
    event.preventDefault();
    choose(to);
  });
  const show = (...texts: readonly [string, string, string]) => {
    summaryTexts = texts;
    render();
  };
  return { root: element('div', { class: 'history' }, picture, caption), picture, show };
}

function bar(index: number, cell: Cell | undefined): SVGRectElement[] {
  const at = { x: index + 0.1, width: 0.8 };
  if (cell === undefined || cell.share.watchedMs === 0) return [svg('rect', { ...at, class: 'none', y: 4, height: 2 })];
  const red = severity(cell.share) * 10;
  return [
    svg('rect', { ...at, class: 'up', y: red, height: 10 - red }),
    ...(red === 0 ? [] : [svg('rect', { ...at, class: 'down', y: 0, height: red })]),
  ];
}

function dayText({ from, share, outages, to }: Cell): string {
  const day = formatDay(from);
  if (share.watchedMs === 0) return `${day}: not watched`;
  if (outages.length === 0) return `${day}: up all the time`;
  const causes = [...new Set(outages.map(({ cause }) => cause))].slice(0, 3).join(', ');
  const longest = Math.max(...outages.map((outage) => lengthOf(outage, to)));
  const each = outages.length === 1 ? '' : `, longest ${formatLength(longest)}`;
  return `${day}: ${plural(outages.length, 'outage')}, down ${formatLength(share.downMs)}${each} (${causes})`;
}

function momentText(past: Past, { from, to }: { from: number; to: number }, now: number): string {
  const hit = past.outages.find((outage) => {
    const span = spanOf(outage, now);
    // As wide as it is drawn.
    return span.from < to && Math.max(span.to, span.from + 4 * MINUTE_MS) > from;
  });
  if (hit !== undefined) return `down for ${formatLength(lengthOf(hit, now))} (${hit.cause})`;
  return past.watched.some((span) => span.from < to && span.to > from) ? 'up' : 'not watched';
}
