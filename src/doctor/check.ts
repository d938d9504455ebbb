import type { FailureCode, TunnelFailure } from '../model/failure.ts';

/** What is looked at, in this order; each needs the ones before it. */
export const STEPS = [
  'configuration',
  'permissions',
  'clock',
  'state directory',
  'service manager',
  'watchdog',
  'journal',
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

/** One thing that was looked at. */
export interface Step {
  /** Null for what concerns all tunnels. */
  readonly tunnel: string | null;
  readonly step: StepName;
  /** `warn` is worth knowing and stops nothing; `skip` was not looked at, because of what failed before. */
  readonly result: 'ok' | 'warn' | 'fail' | 'skip';
  readonly seen: string;
  readonly ms: number;
  /** What to do about it, where something is to be done. */
  readonly cure?: string;
  /** No waiting cures it: only a person can. */
  readonly lasting?: true;
}

/** Where in the order a failure belongs. */
export function stepOf(code: FailureCode): StepName {
  return STEP_OF[code];
}

/** The same with its cure, where all steps up to `reached` were done: a connection may end, or fall silent, at any of them. */
export function stepAndCureOf(failure: TunnelFailure, reached: number): readonly [step: StepName, cure: string] {
  // Of several forwards a later one may be where it stopped.
  const next = STEPS[Math.min(reached, STEPS.indexOf('forward'))]!;
  if (!AT_ANY_STEP.has(failure.code) || reached <= STEPS.indexOf('banner'))
    return [stepOf(failure.code), cureOf(failure)];
  return [
    next,
    "Run this again; if it stays so, the server's log may say why it neither agrees nor refuses (DNS or PAM that hang, a limit, a ban).",
  ];
}

const AT_ANY_STEP: ReadonlySet<FailureCode> = new Set(['handshake-failed', 'disconnected', 'keepalive-lost']);

/** The cure of a failure. */
export function cureOf({ hint }: Pick<TunnelFailure, 'hint'>): string {
  return hint;
}

const STEP_OF: Readonly<Record<FailureCode, StepName>> = {
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
