import type { Series } from '../http/page/samples.ts';
import { element, setAttribute, setText, svg } from './dom.ts';
import { formatBytes, formatMs } from './format.ts';
import { areaPath, axisEnd, linePath } from './plot.ts';
import type { Rate } from './state.ts';

/** The round trips and the traffic of a day, side by side. */
export interface Charts {
  readonly root: HTMLElement;
  update(
    series: Series | null,
    now: { readonly rttMs: number | null; readonly rate: Rate | null; readonly stepMs: number },
  ): void;
}

const SIZE = { width: 288, height: 48 };
const STEPS = 288;

export function charts(name: string): Charts {
  const rttLine = svg('path', { class: 'line' });
  const latency = figure('Latency', [rttLine]);
  const [inArea, outLine] = [svg('path', { class: 'area' }), svg('path', { class: 'line' })];
  const traffic = figure('Traffic', [inArea, outLine]);
  return {
    root: element('div', { class: 'charts' }, latency.root, traffic.root),
    update: (series, { rttMs, rate, stepMs }) => {
      const rtt = series?.rtt ?? [];
      const worst = Math.max(0, ...rtt.map((value) => value ?? 0));
      rttLine.setAttribute('d', linePath(rtt, STEPS, axisEnd(worst), SIZE));
      const present = rttMs === null ? 'not measured' : `${formatMs(rttMs)} now`;
      latency.describe(
        name,
        worst === 0 ? present : `${present}, at most ${formatMs(worst)} in a day`,
        worst === 0 ? '' : formatMs(axisEnd(worst)),
      );

      const [received, sent] = [series?.in ?? [], series?.out ?? []];
      const most = axisEnd(Math.max(0, ...received, ...sent));
      inArea.setAttribute('d', areaPath(received, STEPS, most, SIZE));
      outLine.setAttribute('d', sum(sent) === 0 ? '' : linePath(sent, STEPS, most, SIZE));
      const rates = rate === null ? '' : `${formatBytes(rate.in)}/s in, ${formatBytes(rate.out)}/s out; `;
      const total = `in a day ${formatBytes(sum(received))} in (area), ${formatBytes(sum(sent))} out (line)`;
      const idle = sum(received) + sum(sent) === 0;
      const axis = idle ? '' : `${formatBytes((most / stepMs) * 1000)}/s`;
      traffic.describe(name, idle ? 'none in a day' : `${rates}${total}`, axis);
    },
  };
}

function figure(title: string, paths: readonly SVGPathElement[]) {
  const floor = svg('path', { class: 'floor', d: `M0 ${SIZE.height}H${SIZE.width}` });
  const picture = svg(
    'svg',
    { role: 'img', viewBox: `0 -1 ${SIZE.width} ${SIZE.height + 2}`, preserveAspectRatio: 'none', class: 'plot' },
    floor,
    ...paths,
  );
  const [text, top] = [element('span'), element('span', { class: 'top', 'aria-hidden': 'true' })];
  const caption = element('figcaption', {}, element('b', {}, title), ' ', text);
  return {
    root: element('figure', {}, caption, top, picture),
    describe: (name: string, summary: string, axis: string) => {
      setText(text, summary);
      setText(top, axis);
      // Nothing to draw.
      for (const part of [picture, top]) part.toggleAttribute('hidden', axis === '');
      setAttribute(picture, 'aria-label', `${title} of ${name} in the last 24 hours: ${summary}`);
    },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
