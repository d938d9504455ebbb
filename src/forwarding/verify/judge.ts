import { TunnelFailure } from '../../model/failure.ts';
import type { Refusal } from '../../model/state.ts';
import { type VerifyResult, inUseReason } from './results.ts';
import { type Endpoint, formatEndpoint, type TunnelSpec } from '../../model/spec.ts';

/**
 * How a listener stands that the server has for us: `held` leads here as far as can be seen; `unproven` may not be called up before it was
 * seen; `unseen` is held, and could not be seen by an accident, such as a server that was slow; `part` is not ours alone.
 */
export type ListenerStatus = 'held' | 'unproven' | 'unseen' | 'part';

/** What becomes of it: it is up, or not; where `standing` is null it is to be given back. */
export type Judgement =
  | Up
  | {
      readonly type: 'refused';
      readonly status: ListenerStatus | null;
      readonly refusal: Refusal;
      readonly failure: TunnelFailure;
      /** Visitors were seen to come out somewhere else. */
      readonly elsewhere: boolean;
    };

export interface Up {
  readonly type: 'up';
  readonly status: ListenerStatus;
  /** Why nobody knows whether it leads here; null when it does. */
  readonly unverified: string | null;
  /** It was seen not to be where it was asked for. */
  readonly misplaced: boolean;
}

/**
 * What follows from who answers at a listener that the server has granted. It is given back only when at each of its places another program
 * was seen to answer: what could not be seen may be the only way in.
 */
export function judge(
  listen: Endpoint,
  result: VerifyResult,
  verify: TunnelSpec['verify'],
  before: ListenerStatus = 'unproven',
): Judgement {
  const name = formatEndpoint(listen);
  if (result.type === 'ours') return { type: 'up', status: 'held', unverified: null, misplaced: false };
  if (result.type === 'part') return refused('part', `not all visitors of ${name} come out here: ${result.why}`);
  if (result.type === 'other') {
    const text = `visitors of ${name} do not come out here: ${inUseReason(result.who)}`;
    return refused(result.certain ? null : 'part', text);
  }
  const misplaced = result.type !== 'unknown';
  const why = result.type === 'none' ? 'the server says that it listens there, but nobody answers' : result.why;
  // Once proven, a moment in which nobody can tell takes nothing back.
  if (verify !== 'required' || before === 'held' || before === 'unseen') {
    const passing = result.type === 'unknown' && result.passing === true;
    return { type: 'up', status: passing ? 'unseen' : 'held', unverified: why, misplaced };
  }
  const text = `the server listens on ${name}, but whether that leads here cannot be verified (verify: required): ${why}`;
  const failure = new TunnelFailure('forward-refused', text);
  return { type: 'refused', status: 'unproven', refusal: 'unknown', failure, elsewhere: false };
}

function refused(status: 'part' | null, text: string): Judgement {
  const failure = new TunnelFailure('forward-refused', text);
  return { type: 'refused', status, refusal: 'in-use', failure, elsewhere: true };
}

/** Whether this may be an accident, where it worked before. */
export function isMiss({ type }: VerifyResult): boolean {
  return type === 'other' || type === 'none' || type === 'part' || type === 'misplaced';
}

/** After how many milliseconds it is looked again; `repeated` says how often it stood like this before. */
export function verifyAgainAfter(last: ListenerStatus, repeated: number): number {
  switch (last) {
    case 'held':
      return VERIFY_EVERY_MS;
    case 'unproven':
      return UNPROVEN_MS;
    case 'unseen':
      return Math.min(UNPROVEN_MS * 2 ** repeated, VERIFY_EVERY_MS);
    case 'part':
      return Math.min(PART_MS * 2 ** repeated, LONGEST_PART_MS);
  }
}

/** Seldom: each look is a few packets and wakes a device that may be asleep on its battery. */
const VERIFY_EVERY_MS = 15 * 60_000;

/** A tunnel waits for it. */
const UNPROVEN_MS = 60_000;
const PART_MS = 2000;
const LONGEST_PART_MS = 300_000;
