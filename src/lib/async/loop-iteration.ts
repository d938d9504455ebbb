import { performance } from 'node:perf_hooks';

/**
 * The number of this iteration of the event loop: the same until it begins again. Costs less than to be called back at its end. Node.js has one
 * from 20.18 on, and in 22 from 22.8 on.
 */
export function loopIteration(timing: Timing = performance.nodeTiming): number {
  return timing.uvMetricsInfo?.loopCount ?? counted();
}

interface Timing {
  readonly uvMetricsInfo?: { readonly loopCount: number };
}

function counted(): number {
  if (!isCounting) {
    isCounting = true;
    setImmediate(() => {
      isCounting = false;
      count += 1;
    });
  }
  return count;
}

let count = 0;
let isCounting = false;
