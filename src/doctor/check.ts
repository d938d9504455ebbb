import { FAILURES, type FailureCode, type TunnelFailure } from '../model/failure.ts';

/** The checks, in this order; each needs the ones before it. */
export const STEPS = [
  'configuration',
  'permissions',
  'clock',
  'state directory',
  'service manager',
  'watchdog',
  'journal',
  'native crypto',
  'name',
  'ICMP',
  'TCP',
  'banner',
  'algorithms',
  'host key',
  'authentication',
  'forward',
  'round trip',
  'target',
  'source port',
] as const;

export type StepName = (typeof STEPS)[number];

/** The result of one check. */
export interface Step {
  /** Null for what concerns all tunnels. */
  readonly tunnel: string | null;
  readonly step: StepName;
  /** `warn` is worth knowing and stops nothing; `skip` was not checked, mostly because an earlier check failed. */
  readonly result: 'ok' | 'warn' | 'fail' | 'skip';
  readonly seen: string;
  readonly ms: number;
  /** What to do about it, if anything. */
  readonly cure?: string;
  /** Waiting does not help: a person has to act. */
  readonly lasting?: true;
}

/** The check to which a failure belongs, with its cure, where all steps before `reached` succeeded: a connection may end, or fall silent, at any of them. */
export function stepAndCureOf(failure: TunnelFailure, reached: number): readonly [step: StepName, cure: string] {
  // With several forwards it may have stopped at a later one.
  const next = STEPS[Math.min(reached, STEPS.indexOf('forward'))]!;
  if (!AT_ANY_STEP.has(failure.code) || reached <= STEPS.indexOf('banner'))
    return [STEP_OF[failure.code], failure.hint];
  if (failure.hint !== FAILURES[failure.code].hint) return [next, failure.hint];
  return [
    next,
    "Run this again; if it fails again, the server's log may say why (DNS or PAM that hang, an account that PAM refuses, a limit, a ban).",
  ];
}

const AT_ANY_STEP: ReadonlySet<FailureCode> = new Set(['handshake-failed', 'disconnected', 'keepalive-lost']);

/** The check to which a failure belongs. */
export const STEP_OF: Readonly<Record<FailureCode, StepName>> = {
  'network-down': 'TCP',
  'dns-failed': 'name',
  'connect-refused': 'TCP',
  'connect-timeout': 'TCP',
  unreachable: 'TCP',
  'proxy-failed': 'TCP',
  'handshake-failed': 'banner',
  'no-common-algorithm': 'algorithms',
  'host-key-unknown': 'host key',
  'host-key-changed': 'host key',
  'host-key-revoked': 'host key',
  'key-unreadable': 'authentication',
  'key-passphrase': 'authentication',
  'auth-rejected': 'authentication',
  'forward-refused': 'forward',
  'keepalive-lost': 'round trip',
  disconnected: 'banner',
  'target-unreachable': 'target',
  internal: 'banner',
};
