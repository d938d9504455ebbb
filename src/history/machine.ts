/** The machine, as far as its times are concerned: see host/boot.ts. */
export interface Machine {
  /** Empty where the system names no run of the machine. */
  readonly bootId: string;
  readonly sinceBoot: () => number;
  readonly isClockSynchronised: () => boolean | null;
  readonly lastAlive: (before: number) => number | null;
}
