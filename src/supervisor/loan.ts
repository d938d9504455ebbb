import type { Clock } from '../lib/async/clock.ts';
import type { ForwardSpec } from '../model/spec.ts';
import type { Loop } from './tunnel-runner.ts';
import { conflicting } from './replacement.ts';

/** Listeners that go from tunnels that are replaced to the one that replaces them. */
export interface Loan {
  /** Resolves when they have let go. */
  readonly ready: Promise<void>;
  /** Lets them have it again. */
  giveBack(): void;
  /** It is theirs no more. */
  keep(): void;
}

/**
 * Has the lenders let go of the listeners that `next` wants as well; null where there are none. It comes to an end by itself: a change
 * that does not work takes nothing away for longer than that.
 */
export function borrow(next: Loop, lenders: readonly Loop[], server: 'same' | 'any', clock: Clock): Loan | null {
  const lent = lenders
    .map((lender) => ({
      lender,
      indices: conflicting(lender.spec, next.spec, server).filter((index) => canBeLent(lender.spec.forwards[index]!)),
    }))
    .filter(({ indices }) => indices.length > 0);
  if (lent.length === 0) return null;
  const giveBack = () => {
    for (const { lender, indices } of lent) lender.lending.takeBack(indices);
  };
  const ready = Promise.all(lent.map(({ lender, indices }) => lender.lending.lend(indices))).then(() => {});
  const cancel = clock.timer(TRIAL_MS, giveBack);
  return {
    ready,
    giveBack: () => {
      cancel();
      giveBack();
    },
    keep: cancel,
  };
}

/** sshd leaves a socket's file behind, and may not replace one: then nobody could have it again. If it does, nothing need be lent. */
function canBeLent({ kind, listen }: ForwardSpec): boolean {
  return kind !== 'remote' || listen.type !== 'unix';
}

/** Enough to ask for a listener, and to see twice whether it leads here. */
const TRIAL_MS = 15_000;
