import { isDeepStrictEqual } from 'node:util';
import { tunnelOf } from '../model/redundancy.ts';
import type { TunnelSpec } from '../model/spec.ts';

/** Remembers with which specifications tunnels have been up. */
export interface Proof {
  wasUp(spec: TunnelSpec): void;
  /** Whether each of these has been up at some time; one of the servers is enough for a tunnel that has several. */
  covers(specs: readonly TunnelSpec[]): boolean;
}

/** `known` is from earlier runs of the daemon. */
export function createProof(known: readonly TunnelSpec[]): Proof {
  const proven = new Map(known.map((spec) => [spec.name, spec]));
  return {
    wasUp: (spec) => proven.set(spec.name, spec),
    covers: (specs) => {
      const has = new Set(
        specs.filter((spec) => isDeepStrictEqual(proven.get(spec.name), spec)).map(({ name }) => tunnelOf(name)),
      );
      return specs.every(({ name }) => has.has(tunnelOf(name)));
    },
  };
}
