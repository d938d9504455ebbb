import type { TunnelState } from '../../model/state.ts';

export interface Sampled {
  readonly spec: { readonly name: string };
  readonly state: Pick<TunnelState, 'phase' | 'rttMs' | 'forwards'>;
}

/** A day of one tunnel, in steps of STEP_MS; the newest last. Steps before the first sample are left out. */
export interface Series {
  /** The longest round trip, in milliseconds; null where none was measured. */
  readonly rtt: readonly (number | null)[];
  /** Bytes that visitors sent, and got. */
  readonly in: readonly number[];
  readonly out: readonly number[];
}

/** The round trips and the traffic of a day, in bounded memory: some 3 KiB a tunnel. */
export interface Samples {
  /** To be called when the daemon is awake anyway; `now` is that of the monotonic clock, in milliseconds. */
  take(tunnels: readonly Sampled[], now: number): void;
  /** By tunnel: the steps from `since` on (an index of a step) to the present one. */
  series(since: number): Readonly<Record<string, Series>>;
  /** The index of the present step. */
  step(): number;
}

export const STEP_MS = 300_000;
export const STEPS = 288;

export function createSamples(): Samples {
  const rings = new Map<string, Ring>();
  let step = 0;
  return {
    take: (tunnels, now) => {
      step = Math.max(step, Math.floor(now / STEP_MS));
      const names = new Set(tunnels.map(({ spec }) => spec.name));
      for (const name of rings.keys()) if (!names.has(name)) rings.delete(name);
      for (const { spec, state } of tunnels) {
        const ring = rings.get(spec.name) ?? newRing(step, totalOf(state));
        rings.set(spec.name, ring);
        sample(ring, step, state);
      }
    },
    series: (since) =>
      Object.fromEntries([...rings].map(([name, ring]) => [name, seriesOf(ring, Math.max(since, step - STEPS + 1))])),
    step: () => step,
  };
}

interface Ring {
  readonly first: number;
  last: number;
  total: Bytes;
  readonly rtt: Float32Array;
  readonly in: Float32Array;
  readonly out: Float32Array;
}

interface Bytes {
  readonly in: number;
  readonly out: number;
}

function newRing(step: number, total: Bytes): Ring {
  return {
    first: step,
    last: step,
    total,
    rtt: new Float32Array(STEPS),
    in: new Float32Array(STEPS),
    out: new Float32Array(STEPS),
  };
}

function sample(ring: Ring, step: number, state: Sampled['state']): void {
  const passed = Math.min(step - ring.last, STEPS);
  for (let index = step - passed + 1; index <= step; index++)
    for (const values of [ring.rtt, ring.in, ring.out]) values[index % STEPS] = 0;
  const total = totalOf(state);
  // A tunnel that was replaced counts from 0 again. What came while nothing looked is spread over that time.
  const steps = Math.max(1, passed);
  for (const key of ['in', 'out'] as const) {
    const bytes = total[key] < ring.total[key] ? total[key] : total[key] - ring.total[key];
    for (let index = step - steps + 1; index <= step; index++) ring[key][index % STEPS]! += bytes / steps;
  }
  ring.last = step;
  ring.total = total;
  const { rttMs } = state;
  if (state.phase === 'up' && rttMs !== null) ring.rtt[step % STEPS] = Math.max(ring.rtt[step % STEPS]!, rttMs, 0.1);
}

function totalOf({ forwards }: Sampled['state']): Bytes {
  return forwards.reduce((sum, { counters }) => ({ in: sum.in + counters.bytesIn, out: sum.out + counters.bytesOut }), {
    in: 0,
    out: 0,
  });
}

function seriesOf(ring: Ring, since: number): Series {
  const steps: number[] = [];
  for (let index = Math.max(since, ring.first); index <= ring.last; index++) steps.push(index % STEPS);
  return {
    rtt: steps.map((index) => (ring.rtt[index] === 0 ? null : Math.round(ring.rtt[index]! * 10) / 10)),
    in: steps.map((index) => Math.round(ring.in[index]!)),
    out: steps.map((index) => Math.round(ring.out[index]!)),
  };
}
