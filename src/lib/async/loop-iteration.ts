import { performance } from 'node:perf_hooks';

/**
 * The number of this iteration of the event loop: the same until the next one begins. To compare it costs less than a callback at the end
 * of each. Node.js counts them, but for 22 before 22.8: there it is counted here.
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
