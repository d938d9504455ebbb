import type { Eviction } from '../net/source-ports.ts';
import type { Step, StepName } from './check.ts';
import type { Device } from '../net/device.ts';
import type { IdentityCache } from '../connection/auth/identity-cache.ts';
import type { Logger } from '../lib/log/log.ts';
import type { Clock } from '../lib/async/clock.ts';
export interface CheckDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly identities: IdentityCache;
  readonly device: Pick<Device, 'hostKeys' | 'onChange' | 'lostAddress' | 'unacknowledged' | 'turns'>;
  /** Null where network.ping is empty. */
  readonly ping: ((signal: AbortSignal) => Promise<boolean>) | null;
  /** What is known of the port that the tunnel dials from. */
  readonly sourcePort: SourcePortFacts;
  /** The results that a running daemon has, in the place of a login of our own; null where there is none. */
  readonly fromDaemon: readonly DaemonStep[] | null;
  /** Called with each step as soon as it is done. */
  onStep(step: Step): void;
}

/** Reports a step that is done. `lasting` means that waiting does not help. */
export type ReportStep = (step: StepName, result: Step['result'], seen: string, cure?: string, lasting?: true) => void;

/** A step: its name, the result, what was seen, and the cure. */
export type StepResult = readonly [StepName, Step['result'], string, string?];

/** The same from a daemon. With the index of a forward, its target is checked again, since the daemon's result is old. */
export type DaemonStep = StepResult | readonly [StepName, Step['result'], string, undefined, number];

/** What is known from here of the port that a tunnel dials from. */
export interface SourcePortFacts {
  /** The last one, or null where none is remembered. */
  readonly port: number | null;
  readonly eviction: Eviction | null;
  /** Whether the state file of source ports could be read. */
  readonly readable: boolean;
  /** Whether the first machine on the way is in a network of this device, so that no router lies between. */
  readonly sameNetwork: boolean;
}
