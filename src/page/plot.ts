/** The size of a plot in its own units. */
export interface PlotSize {
  readonly width: number;
  readonly height: number;
}

/**
 * Pure: the path of a line through values, the newest at the right end; a step is `width / steps` wide. It is interrupted where there is no
 * value, and a lonely one is a dash.
 */
export function linePath(
  values: readonly (number | null)[],
  steps: number,
  max: number,
  { width, height }: PlotSize,
): string {
  const step = width / steps;
  const first = steps - values.length;
  let path = '';
  let before: number | null = null;
  for (const [index, value] of values.entries()) {
    if (value !== null) {
      const x = (first + index) * step;
      const y = height - (Math.min(value, max) / max) * height;
      path += `${before === null ? 'M' : 'L'}${round(x)} ${round(y)}H${round(x + step)}`;
    }
    before = value;
  }
  return path;
}

/** Pure: the same as an area above the bottom. */
export function areaPath(values: readonly number[], steps: number, max: number, size: PlotSize): string {
  if (values.length === 0) return '';
  const { width, height } = size;
  const start = round((steps - values.length) * (width / steps));
  return `M${start} ${height}${linePath(values, steps, max, size).replace('M', 'L')}L${width} ${height}Z`;
}

/** Pure: the end of an axis for values up to this: 1, 2 or 5 times a power of ten. */
export function axisEnd(max: number): number {
  if (max <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(max));
  return [1, 2, 5, 10].map((factor) => factor * power).find((end) => end >= max) ?? max;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
