/** The machine, as far as its times are concerned: see host/boot.ts. */
export interface Machine {
  readonly bootId: string;
  readonly sinceBoot: () => number;
  readonly isClockSynchronised: () => boolean | null;
  readonly lastAlive: (before: number) => number | null;
}
