import type { TunnelFailure } from '../model/failure.ts';
import type { RefusalReason } from '../forwarding/listeners/refusal-reason.ts';
import {
  type VerifyResult,
  inUseHint,
  inUseReason,
  type OtherProgram,
  OWN_HINT,
} from '../forwarding/verify/results.ts';
import { EXPOSED } from '../model/state.ts';
import type { Step } from './check.ts';

/** The report of a step: its result, what was seen, the cure, and whether waiting does not help. */
type StepReport = [result: Step['result'], seen: string, cure?: string, lasting?: true];

/** For a listener that the server did not grant. */
export function refused(failure: TunnelFailure, { reason, other }: RefusalReason): StepReport {
  const seen = reason === '' ? failure.message : `${failure.message}: ${reason}`;
  // The server is ready: the rest is to be done on this device.
  if (other?.own === true) return ['warn', seen, OWN_HINT];
  return other === undefined ? ['fail', seen, failure.hint] : inUse(seen, other, failure.hint);
}

/** For a listener that it granted. */
export function roundTrip(name: string, result: VerifyResult, exposed: boolean): StepReport {
  switch (result.type) {
    case 'ours':
      return exposed
        ? ['warn', `${name}: ${EXPOSED}`, EXPOSED_CURE]
        : ['ok', `what the server sends to ${name} comes out here`];
    case 'other':
      return inUse(`${name}: ${inUseReason(result.who)}`, result, IN_USE_CURE);
    case 'part':
      return inUse(`${name}: ${result.why}`, result.other, IN_USE_CURE);
    case 'misplaced':
      return [
        'warn',
        `${name}: ${result.why}`,
        'To be reached from outside: GatewayPorts clientspecified on the server (`tunneld server-setup` sets it).',
      ];
    case 'none':
      return [
        'warn',
        `${name}: the server reports that it listens there, but nothing answers`,
        "Read the server's log.",
      ];
    case 'unknown':
      return [
        'warn',
        `${name}: ${result.why}`,
        'To let tunneld test it: AllowTcpForwarding yes with PermitOpen for this port alone (`tunneld server-setup NAME`).',
      ];
  }
}

function inUse(seen: string, other: OtherProgram, cure: string): StepReport {
  const hint = inUseHint(other) ?? cure;
  return other.hostKey === null || other.own ? ['fail', seen, hint] : ['fail', seen, hint, true];
}

export const EXPOSED_CURE =
  'GatewayPorts no or clientspecified on the server keeps it on loopback (`tunneld server-setup NAME` sets it for the user of the tunnel).';

const IN_USE_CURE = 'Choose another port, or end what listens there.';
