import type { TunnelFailure } from '../../model/failure.ts';
import type { Hole, Verdict } from './hole.ts';

export interface Finding {
  readonly hole: Hole;
  readonly verdict: Verdict;
  /** How it was seen, or why it is unknown; safe to print, may be empty. */
  readonly detail: string;
}

export type Observation = Pick<Finding, 'verdict' | 'detail'>;

export interface NotTried {
  readonly what: string;
  readonly reason: string;
}

/** What is known about one tunnel's key. */
export interface TunnelAudit {
  readonly name: string;
  /** As the server announced it; null where the login failed. */
  readonly serverVersion: string | null;
  /** How the tunnel logs in; null where that failed. */
  readonly login: LoginFacts | null;
  /** Why nothing could be tried, or null. */
  readonly failure: TunnelFailure | null;
  readonly findings: readonly Finding[];
  /** Whether all rules of the server were read: then a closed finding does not rest on examples. */
  readonly sure: boolean;
  /** Whether they should be read (--via). */
  readonly readFiles: boolean;
  readonly notTried: readonly NotTried[];
}

export interface LoginFacts {
  /** `publickey`, or more where the server asks for more, in the order in which it accepted them. */
  readonly methods: readonly string[];
  /** Of the key that was accepted, or null. */
  readonly fingerprint: string | null;
  /** The methods that the server offers to a user name alone; null where it did not name them. */
  readonly offered: readonly string[] | null;
}
