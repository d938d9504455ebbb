import type { Clock } from '../lib/async/clock.ts';
import type { HistoryFile } from './history-file.ts';
import type { Machine } from './machine.ts';
import type { HistoryRecord } from './outage.ts';

/** Writes records at most once a minute, and when the clock can be believed. */
export interface Writer {
  /** `make` is called when it is written. */
  put(make: MakeRecord): void;
  /** What is not written yet, with the times that are known now. */
  waiting(): readonly HistoryRecord[];
  readonly toWall: ToWall;
  /** Writes what waits, whatever the clock. Never rejects. */
  end(): Promise<void>;
}

/** `sure` is false where a record has to be written by a clock that may be wrong. */
type MakeRecord = (toWall: ToWall, sure: boolean) => HistoryRecord;

/** A time since the start of the machine as one of the clock of the wall, as it is set now. */
export type ToWall = (elapsed: number) => number;

export interface WriterDeps {
  readonly file: HistoryFile;
  readonly clock: Clock;
  readonly machine: Machine;
  /** The newest time that was written before: a clock that shows less is wrong. */
  readonly newest: number;
}

export function createWriter({ file, clock, machine, newest }: WriterDeps): Writer {
  let waiting: { readonly make: MakeRecord; readonly at: number }[] = [];
  let lastWritten = Number.NEGATIVE_INFINITY;
  let cancel: (() => void) | null = null;
  const toWall: ToWall = (elapsed) => Math.round(clock.wall() - machine.sinceBoot() + elapsed);

  let written = Promise.resolve();
  const write = (sure: boolean) => {
    lastWritten = machine.sinceBoot();
    const records = waiting.map(({ make }) => make(toWall, sure));
    waiting = [];
    written = file.append(records);
  };
  const consider = () => {
    cancel?.();
    cancel = null;
    const [first] = waiting;
    const last = waiting.at(-1);
    if (first === undefined || last === undefined) return;
    const now = machine.sinceBoot();
    const sure = isSure({
      synchronised: machine.isClockSynchronised(),
      now,
      quietMs: now - last.at,
      early: clock.wall() < newest,
    });
    if (now - lastWritten >= STEP_MS && (sure || now - first.at >= PATIENCE_MS)) write(sure);
    else cancel = clock.timer(STEP_MS, consider);
  };

  return {
    put: (make) => {
      waiting.push({ make, at: machine.sinceBoot() });
      // A flapping tunnel cannot fill the memory.
      if (waiting.length > MAX_WAITING) waiting.shift();
      // One timer is enough.
      if (cancel === null) consider();
    },
    waiting: () => waiting.map(({ make }) => make(toWall, true)),
    toWall,
    end: async () => {
      cancel?.();
      if (waiting.length > 0) write(machine.isClockSynchronised() !== false && clock.wall() >= newest);
      await written;
    },
  };
}

/**
 * Pure: whether the clock of the wall can be believed. Where nothing says that the network has set it, it is believed after a while without
 * an event: the network, whose coming has ended the outage, has set it by then.
 */
export function isSure({ synchronised, now, quietMs, early }: ClockEvidence): boolean {
  if (synchronised !== null) return synchronised;
  return !early && (now >= LONG_RUN_MS || quietMs >= STEP_MS);
}

interface ClockEvidence {
  /** Null where the system does not report it. */
  readonly synchronised: boolean | null;
  /** Since the start of the machine, in milliseconds. */
  readonly now: number;
  /** Since the last event. */
  readonly quietMs: number;
  /** It shows less than it has shown before. */
  readonly early: boolean;
}

const STEP_MS = 60_000;
/** A machine that has run for so long has its time, or never will. */
const LONG_RUN_MS = 3_600_000;
/** After this a record is written with a clock that may be wrong, and marked. */
const PATIENCE_MS = 600_000;
const MAX_WAITING = 500;
