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
  /** Null where no addresses are configured. */
  readonly ping: ((signal: AbortSignal) => Promise<boolean>) | null;
  /** What can be known of the port that the tunnel dials from. */
  readonly sourcePort: SourcePortFacts;
  /** What a running daemon knows of the tunnel, instead of a login of ours; null where there is none. */
  readonly fromDaemon: readonly DaemonStep[] | null;
  /** Told of each step as soon as it is done. */
  onStep(step: Step): void;
}

/** Tells of a step that is done. */
export type ReportStep = (step: StepName, result: Step['result'], seen: string, cure?: string, lasting?: true) => void;

/** A step that somebody else has done: its name, the result, what was seen, and the cure. */
export type StepResult = readonly [StepName, Step['result'], string, string?];

/** The same from a daemon. With the number of a forward, what was seen of its target is old, and is looked at again. */
export type DaemonStep = StepResult | readonly [StepName, Step['result'], string, undefined, number];

/** What can be known from here of the port that a tunnel dials from. */
export interface SourcePortFacts {
  /** The last one, or null where none is remembered. */
  readonly port: number | null;
  readonly eviction: Eviction | null;
  /** Whether what is remembered could be read. */
  readonly readable: boolean;
  /** Whether the first machine on the way is in a network of this device, so that no router lies between. */
  readonly sameNetwork: boolean;
}
