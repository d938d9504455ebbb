import type { TunnelFailure } from '../../model/failure.ts';
import type { Hole, Verdict } from './hole.ts';

export interface Finding {
  readonly hole: Hole;
  readonly verdict: Verdict;
  /** How that was seen, or why it is not known; safe to print, may be empty. */
  readonly detail: string;
}

export type Observation = Pick<Finding, 'verdict' | 'detail'>;

export interface NotTried {
  readonly what: string;
  readonly reason: string;
}

/** What is known of one tunnel's key. */
export interface TunnelAudit {
  readonly name: string;
  /** Of the server, as it announced itself; null where the login failed. */
  readonly serverVersion: string | null;
  /** How the tunnel logs in; null where that failed. */
  readonly login: LoginFacts | null;
  /** Why nothing could be tried, or null. */
  readonly failure: TunnelFailure | null;
  readonly findings: readonly Finding[];
  /** Whether the rules of the server were read, and all of them: then a closed finding is no matter of examples. */
  readonly sure: boolean;
  /** Whether they were to be read. */
  readonly readFiles: boolean;
  readonly notTried: readonly NotTried[];
}

export interface LoginFacts {
  /** `publickey`, or more where the server wants more: in the order in which it took them. */
  readonly methods: readonly string[];
  /** Of the key that was accepted, or null. */
  readonly fingerprint: string | null;
  /** What the server takes of somebody of whom it knows only the name; null where it did not say. */
  readonly offered: readonly string[] | null;
}
