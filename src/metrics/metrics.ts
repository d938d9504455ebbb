import { Counter, Gauge, type PrometheusContentType, Registry } from 'prom-client';
import { createQueue } from '../lib/async/queue.ts';
import { ownTick } from '../lib/async/slices.ts';
import type { StatusDocument } from '../status/document.ts';
import { METRIC_ROWS, type MetricRow } from './rows.ts';

export type ExpositionFormat = keyof typeof CONTENT_TYPES;

/** What the formats are called (HTTP). */
export const CONTENT_TYPES = {
  prometheus: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
} as const;

/**
 * Renders what a status says, a metric a tick of the event loop. Those who ask while one rendering runs share the next one: however many
 * ask, and go away, there are no more than these two.
 */
export type RenderMetrics = (status: () => StatusDocument) => Promise<string>;

export function createMetrics(format: ExpositionFormat): RenderMetrics {
  const registry = new Registry();
  registry.setContentType(CONTENT_TYPES[format] as PrometheusContentType);
  const metrics = METRIC_ROWS.map((row) => register(row, registry, format));
  const oneAtATime = createQueue();
  const render = async (status: StatusDocument): Promise<string> => {
    const texts: string[] = [];
    for (const { name, set } of metrics) {
      if (!set(status)) continue;
      texts.push(await registry.getSingleMetricAsString(name));
      await ownTick();
    }
    return format === 'openmetrics' ? `${texts.join('\n')}\n# EOF\n` : `${texts.join('\n\n')}\n`;
  };
  let next: Promise<string> | null = null;
  return (statusOf) =>
    (next ??= oneAtATime(() => {
      next = null;
      return render(statusOf());
    }));
}

/** `set` is whether there is a value at all. */
function register(
  { name: fullName, help, values }: MetricRow,
  registry: Registry,
  format: ExpositionFormat,
): { readonly name: string; readonly set: (status: StatusDocument) => boolean } {
  // In OpenMetrics the end of a counter's name is that of its samples, which the registry adds.
  const name = format === 'openmetrics' ? fullName.replace(/_total$/, '') : fullName;
  const Metric = fullName.endsWith('_total') ? Counter : Gauge;
  const metric = new Metric({ name, help, labelNames: [...LABELS], registers: [registry] });
  return {
    name,
    set: (status) => {
      metric.reset();
      const all = values(status);
      for (const [labels, value] of all) metric.inc(labels, value);
      return all.length > 0;
    },
  };
}

const LABELS = ['version', 'node', 'tunnel', 'phase', 'algorithm', 'cause', 'kind', 'listen', 'server', 'of'] as const;
