import type { Suspects } from '../../src/supervisor/suspects.ts';

/** Where nothing has ever stopped the process. */
export const NO_SUSPECTS: Suspects = {
  holdBack: () => ({ ms: 0, why: null }),
  connected: () => {},
  over: () => {},
};
