import type { TunnelSpec } from '../model/spec.ts';
import type { TunnelState } from '../model/state.ts';
import type { RunningTunnel } from '../supervisor/supervisor.ts';
import { gapsOf, type Gap } from './gap.ts';
import { newestTime, type HistoryRecord, type OpenOutage, type OutageCause } from './outage.ts';
import { pastOf, type Past } from './summary.ts';
import { downFrom, track, type Down, type Seen, type Tracked } from './tracker.ts';
import { createWriter, type ToWall, type Writer, type WriterDeps } from './writer.ts';

/** Watches tunnels, and keeps their outages. An idle device writes nothing: a record is written when an outage ends, or lasts. */
export interface History {
  /** To be called after each change of a tunnel, and after each change of the configuration. */
  observe(tunnels: readonly RunningTunnel[]): void;
  /** The outages of a tunnel that ended since the daemon started; times are those of Clock.now. */
  outagesOf(tunnel: string): OutageFacts;
  /** Of every tunnel that is known, also of those that are not configured any more. Never rejects. */
  pasts(): Promise<ReadonlyMap<string, Past>>;
  /** The daemon ends in good order: what is known is written. Never rejects. */
  stop(): Promise<void>;
}

/** What is remembered of the outages of one tunnel that are over. */
interface OutageFacts {
  readonly totals: Readonly<Record<string, { readonly count: number; readonly seconds: number }>>;
  readonly last: { readonly cause: OutageCause; readonly durationMs: number; readonly to: number } | null;
}

const NONE: OutageFacts = { totals: {}, last: null };

type HistoryDeps = Omit<WriterDeps, 'newest'>;

export async function openHistory(deps: HistoryDeps): Promise<History> {
  const { file, clock, machine } = deps;
  const records = await file.read();
  const watch: Watch = {
    deps,
    writer: createWriter({ ...deps, newest: newestTime(records) }),
    tracked: new Map(),
    gaps: gapsOf(records, { ...machine, startedAt: machine.sinceBoot() }),
    recorded: new Set(),
    ended: new Map(),
    slept: null,
    look: { elapsed: machine.sinceBoot(), monotonic: clock.now() },
    cancel: null,
    stopped: false,
  };
  return {
    // That the tunnels end after it is no outage of theirs.
    observe: (tunnels) => {
      if (!watch.stopped) observe(watch, tunnels);
    },
    outagesOf: (tunnel) => watch.ended.get(tunnel) ?? NONE,
    pasts: async () => pastOf([...(await file.read()), ...watch.writer.waiting(), ...openRecords(watch)], clock.wall()),
    stop: async () => {
      if (watch.stopped) return await watch.writer.end();
      watch.stopped = true;
      watch.cancel?.();
      for (const [name, tracked] of watch.tracked) if (tracked.type === 'down') recordDown(watch, name, tracked);
      watch.writer.put((toWall) => ({ type: 'stop', at: toWall(machine.sinceBoot()), boot: machine.bootId }));
      await watch.writer.end();
    },
  };
}

interface Watch {
  readonly deps: HistoryDeps;
  readonly writer: Writer;
  readonly tracked: Map<string, Tracked>;
  /** From the end of the last watch to this one, by tunnel. */
  readonly gaps: Map<string, Gap>;
  /** Tunnels whose outage is in the file while it goes on. */
  readonly recorded: Set<string>;
  /** What ended since the daemon started, by tunnel. */
  readonly ended: Map<string, OutageFacts>;
  slept: { readonly from: number; readonly ms: number; readonly until: number } | null;
  /** The last look, on the clock that counts while the machine sleeps, and on the one that does not. */
  look: { readonly elapsed: number; readonly monotonic: number };
  cancel: (() => void) | null;
  stopped: boolean;
}

function observe(watch: Watch, tunnels: readonly RunningTunnel[]): void {
  const now = notice(watch);
  const { deps, tracked, writer } = watch;
  const { bootId: boot } = deps.machine;
  const names = new Set(tunnels.map(({ spec }) => spec.name));
  for (const tunnel of tunnels) {
    const { name } = tunnel.spec;
    const before = tracked.get(name) ?? firstOf(watch, name, now);
    const { tracked: after, over } = track(before, seenOf(tunnel, watch, now), now);
    tracked.set(name, after);
    if (before.type === 'fresh' && after.type !== 'fresh') {
      const at = after.type === 'down' ? after.from : now;
      writer.put((toWall) => ({ type: 'begin', tunnel: name, at: toWall(at), boot }));
    }
    if (over !== null) recordOutage(watch, name, over, 'up');
  }
  for (const [name, last] of tracked) {
    if (names.has(name)) continue;
    tracked.delete(name);
    watch.ended.delete(name);
    if (last.type === 'down') recordOutage(watch, name, { ...last, to: now }, 'removed');
    if (last.type !== 'fresh') writer.put((toWall) => ({ type: 'end', tunnel: name, at: toWall(now), boot }));
  }
  // What is not configured any more was removed while nothing watched.
  for (const [name, gap] of watch.gaps) {
    if (names.has(name)) continue;
    watch.gaps.delete(name);
    writer.put((toWall) => ({ type: 'end', tunnel: name, at: gap(toWall).from, boot }));
  }
  recordLasting(watch, now);
}

/** The time, after it was seen whether the machine has slept. */
function notice(watch: Watch): number {
  const { clock, machine } = watch.deps;
  const { look } = watch;
  const elapsed = machine.sinceBoot();
  watch.look = { elapsed, monotonic: clock.now() };
  const ms = elapsed - look.elapsed - (watch.look.monotonic - look.monotonic);
  if (ms > SLEPT_MS) watch.slept = { from: elapsed - ms, ms, until: elapsed + NOTICED_MS };
  return elapsed;
}

/** Smaller differences between two clocks are their own. */
const SLEPT_MS = 5000;
/** A connection that did not outlive a sleep is found to be lost within this time. */
const NOTICED_MS = 60_000;

/** A tunnel that was watched before this process was has not worked since. */
function firstOf({ gaps }: Watch, name: string, now: number): Tracked {
  return gaps.has(name) ? downFrom(now, 0) : { type: 'fresh', since: now };
}

function seenOf({ spec, state, previous, members }: RunningTunnel, { slept, deps }: Watch, now: number): Seen {
  const toElapsed = (monotonic: number) => now - (deps.clock.now() - monotonic);
  const works = isWorking(spec, state) || previous.some((old) => isWorking(old.spec, old.state));
  const { failure, silentSince, forwards } = state;
  return {
    working: works,
    elsewhere: forwards.some(({ verified }) => verified === 'no'),
    silentSince: silentSince === null ? null : toElapsed(silentSince),
    replaced: previous.length > 0,
    failure: failure === null ? null : { code: failure.code, message: failure.message, at: toElapsed(failure.at) },
    cut: (members?.flatMap((one) => one.state.forwards) ?? forwards).reduce(
      (sum, { counters }) => sum + counters.cutConnections,
      0,
    ),
    slept: slept !== null && now <= slept.until ? slept : null,
  };
}

/** Up, and each listener was verified, or cannot be: what is not known yet may still be found not to lead here. */
function isWorking({ verify }: TunnelSpec, { phase, forwards }: TunnelState): boolean {
  if (phase !== 'up') return false;
  return forwards.every(
    ({ spec, state, verified, unverified }) =>
      spec.kind !== 'remote' || verify === 'off' || state !== 'up' || verified === 'yes' || unverified !== null,
  );
}

function recordOutage(
  watch: Watch,
  tunnel: string,
  over: Down & { readonly to: number },
  ended: 'up' | 'removed',
): void {
  const { gaps, recorded, deps, writer } = watch;
  const gap = gaps.get(tunnel) ?? null;
  gaps.delete(tunnel);
  recorded.delete(tunnel);
  const { to } = over;
  countEnded(watch, tunnel, openOf(tunnel, over, gap, writer.toWall), to);
  const { bootId: boot } = deps.machine;
  writer.put((toWall, sure) => ({
    type: 'outage',
    ...openOf(tunnel, over, gap, toWall),
    to: toWall(to),
    ended,
    ...(sure ? {} : { clock: 'unsure' }),
    boot,
  }));
}

function countEnded({ ended, writer, deps }: Watch, tunnel: string, { cause, from }: OpenOutage, to: number): void {
  const { totals } = ended.get(tunnel) ?? NONE;
  const durationMs = Math.max(0, writer.toWall(to) - from);
  const { count, seconds } = totals[cause] ?? { count: 0, seconds: 0 };
  const { clock, machine } = deps;
  ended.set(tunnel, {
    totals: { ...totals, [cause]: { count: count + 1, seconds: seconds + durationMs / 1000 } },
    last: { cause, durationMs, to: clock.now() - (machine.sinceBoot() - to) },
  });
}

function recordDown(watch: Watch, tunnel: string, down: Down): void {
  watch.recorded.add(tunnel);
  watch.writer.put(downRecord(watch, tunnel, down));
}

function downRecord({ deps, gaps }: Watch, tunnel: string, down: Down): (toWall: ToWall) => HistoryRecord {
  const gap = gaps.get(tunnel) ?? null;
  return (toWall) => ({ type: 'down', ...openOf(tunnel, down, gap, toWall), boot: deps.machine.bootId });
}

/** What lasts is recorded before it ends, once: a loss of power is to lose no more than a few minutes of it. */
function recordLasting(watch: Watch, now: number): void {
  const { tracked, recorded, deps } = watch;
  let next = Number.POSITIVE_INFINITY;
  for (const [name, seen] of tracked) {
    if (seen.type !== 'down' || recorded.has(name)) continue;
    if (now - seen.from >= LASTS_MS) recordDown(watch, name, seen);
    else next = Math.min(next, seen.from + LASTS_MS - now);
  }
  watch.cancel?.();
  watch.cancel = Number.isFinite(next)
    ? deps.clock.timer(next, () => recordLasting(watch, deps.machine.sinceBoot()))
    : null;
}

const LASTS_MS = 300_000;

/** With the time before this process, in which the tunnel was not there either. */
function openOf(tunnel: string, down: Down, gap: Gap | null, toWall: ToWall): OpenOutage {
  const { from, cause, message, visitors, offMs } = down;
  const own = { tunnel, from: toWall(from), cause: cause ?? 'unknown', message, visitors, offMs } as const;
  return gap === null ? own : { ...own, ...gap(toWall) };
}

/** Of the outages that go on. */
function openRecords(watch: Watch): readonly HistoryRecord[] {
  return [...watch.tracked].flatMap(([name, seen]) =>
    seen.type === 'down' ? [downRecord(watch, name, seen)(watch.writer.toWall)] : [],
  );
}
