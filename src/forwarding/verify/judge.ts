import { TunnelFailure } from '../../model/failure.ts';
import type { Refusal } from '../../model/state.ts';
import { type VerifyResult, inUseReason } from './results.ts';
import { type Endpoint, formatEndpoint } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';

/**
 * The status of a granted listener: `ours` leads here as far as that can be verified; `unproven` is not up before it was verified
 * (verify: required); `unseen` counts as ours, but could not be verified for a passing reason, such as a slow server; `part` leads to another
 * program as well.
 */
export type ListenerStatus = 'ours' | 'unproven' | 'unseen' | 'part';

/** Whether it is up; where `status` is null it is to be cancelled. */
export type Judgement =
  | Up
  | {
      readonly type: 'refused';
      readonly status: ListenerStatus | null;
      readonly refusal: Refusal;
      readonly failure: TunnelFailure;
      /** Visitors were seen not to come out here. */
      readonly elsewhere: boolean;
    };

export interface Up {
  readonly type: 'up';
  readonly status: ListenerStatus;
  /** Why it is unknown whether it leads here; null when it was seen to. */
  readonly unverified: string | null;
  /** It was seen not to listen where it was requested. */
  readonly misplaced: boolean;
}

/**
 * What follows from the verification of a granted listener. It is cancelled only when another program was seen to answer at each of its
 * addresses: one that could not be seen may be the only way in.
 */
export function judge(
  listen: Endpoint,
  result: VerifyResult,
  verify: TunnelSpec['verify'],
  before: ListenerStatus = 'unproven',
): Judgement {
  const name = formatEndpoint(listen);
  if (result.type === 'ours') return { type: 'up', status: 'ours', unverified: null, misplaced: false };
  if (result.type === 'part') return refused('part', `not all visitors of ${name} come out here: ${result.why}`);
  if (result.type === 'other') {
    const text = `visitors of ${name} do not come out here: ${inUseReason(result.who)}`;
    return refused(result.certain ? null : 'part', text);
  }
  const misplaced = result.type !== 'unknown';
  const why = result.type === 'none' ? 'the server says that it listens there, but nothing answers' : result.why;
  // A proven listener stays up when one verification is without a result.
  if (verify !== 'required' || before === 'ours' || before === 'unseen') {
    const passing = result.type === 'unknown' && result.passing === true;
    return { type: 'up', status: passing ? 'unseen' : 'ours', unverified: why, misplaced };
  }
  const text = `the server listens on ${name}, but whether that leads here cannot be verified (verify: required): ${why}`;
  const failure = new TunnelFailure('forward-refused', text);
  return { type: 'refused', status: 'unproven', refusal: 'unknown', failure, elsewhere: false };
}

function refused(status: 'part' | null, text: string): Judgement {
  const failure = new TunnelFailure('forward-refused', text);
  return { type: 'refused', status, refusal: 'in-use', failure, elsewhere: true };
}

/** Whether this may be an accident, where the listener worked before. */
export function isMiss({ type }: VerifyResult): boolean {
  return type === 'other' || type === 'none' || type === 'part' || type === 'misplaced';
}

/** Milliseconds until the next verification; `repeated` is how many times in a row the status was the same before. */
export function verifyAgainAfter(last: ListenerStatus, repeated: number): number {
  switch (last) {
    case 'ours':
      return VERIFY_EVERY_MS;
    case 'unproven':
      return UNPROVEN_MS;
    case 'unseen':
      return Math.min(UNPROVEN_MS * 2 ** repeated, VERIFY_EVERY_MS);
    case 'part':
      return Math.min(PART_MS * 2 ** repeated, LONGEST_PART_MS);
  }
}

/** Seldom: each verification is a few packets, and wakes a device that may run on a battery. */
const VERIFY_EVERY_MS = 15 * 60_000;

/** The tunnel is not up meanwhile. */
const UNPROVEN_MS = 60_000;
const PART_MS = 2000;
const LONGEST_PART_MS = 300_000;
