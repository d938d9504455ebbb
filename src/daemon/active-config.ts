import { isAbsolute } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../model/config.ts';
import type { ReloadResult, TrialResult } from '../control/protocol.ts';
import { RequestError } from '../control/server.ts';
import type { Clock } from '../lib/async/clock.ts';
import type { RootLogger } from '../lib/log/log.ts';
import { errorText, printable } from '../lib/text.ts';
import type { ConfigurationStanding } from '../status/health.ts';
import type { Supervisor } from '../supervisor/supervisor.ts';
import type { IdentityCache } from '../connection/auth/identity-cache.ts';
import type { LastGood, LastGoodKeeper } from './last-good.ts';
import { createProof } from './proven-tunnels.ts';

export interface ConfigurationDeps {
  readonly clock: Clock;
  readonly log: RootLogger;
  readonly supervisor: Supervisor;
  readonly identities: IdentityCache;
  /** Reads the configuration file; rejects with a text for people when it is not valid. */
  load(): Promise<Config>;
  /** The same for a file beside it that may take its place. */
  loadCandidate(name: string): Promise<Config>;
  readonly lastGood: LastGood | null;
  readonly keeper: LastGoodKeeper;
}

/** Which configuration runs, and how it stands with its file. */
export interface Configuration {
  current(): Config;
  standing(): ConfigurationStanding;
  /** Starts the tunnels. */
  start(): Promise<void>;
  /** Applies the file as it is now; one that is not valid changes nothing, is logged and rejects. A trial ends with it. */
  reload(): Promise<ReloadResult>;
  /** Runs a candidate; goes back to what ran before unless confirm() is called in time. */
  tryOut(candidate: string, withinMs: number): Promise<TrialResult>;
  /** Ends the trial in favour of the candidate, which the file has to say by now; rejects while its tunnels are not up. */
  confirm(): Promise<void>;
  stop(): void;
}

interface Trial {
  readonly candidate: string;
  readonly next: Config;
  readonly base: Config;
  /** Of the monotonic clock, in milliseconds. */
  readonly until: number;
  /** Tunnels that have to be up; null until they have begun. */
  needed: readonly string[] | null;
  readonly cancel: () => void;
}

/** `problem` says why `first` is not what the file says. */
export function createConfiguration(first: Config, problem: string | null, deps: ConfigurationDeps): Configuration {
  const { clock, log, supervisor, keeper } = deps;
  const proof = createProof(deps.lastGood?.config.tunnels ?? []);
  let config = first;
  let broken = problem === null ? null : { message: problem, at: clock.now() };
  let trial: Trial | null = null;
  let kept: Config | null = null;
  let last: Promise<unknown> = Promise.resolve();
  let lastRead: Promise<unknown> = Promise.resolve();
  let nextReload: Promise<ReloadResult> | null = null;

  /** One change after the other: whose turn it is finds everything as the one before left it. */
  const inTurn = <T>(work: () => T | Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  };

  /** The same for what has to read a file first; a file that hangs holds up no end of a trial. */
  const afterReading = <T>(work: () => Promise<T>): Promise<T> => {
    const done = lastRead.then(work);
    lastRead = done.catch(() => {});
    return done;
  };

  /** What is on trial, or older than its file, is no news. A command line has no file to lose. */
  const keepIfGood = () => {
    for (const { spec, state } of supervisor.tunnels()) if (state.phase === 'up') proof.wasUp(spec);
    if (kept === config || trial !== null || broken !== null || !isAbsolute(config.file)) return;
    if (!proof.covers(config.tunnels)) return;
    // What could not be written is written at another change of a tunnel.
    if (keeper.keep(config)) kept = config;
  };
  supervisor.subscribe(keepIfGood);

  const tellNotes = ({ notes, warnings }: Config) => {
    for (const warning of warnings) log.warn(printable(warning));
    for (const note of notes) log.info(printable(note));
  };

  const switchTo = async (next: Config): Promise<ReloadResult> => {
    const notes = restartNotes(config, next);
    config = next;
    log.level = next.log.level;
    tellNotes(next);
    const plan = await supervisor.apply(next.tunnels);
    deps.identities.retain(next.tunnels);
    return { plan, notes };
  };

  const endTrial = (): Trial | null => {
    const ended = trial;
    ended?.cancel();
    trial = null;
    return ended;
  };

  const goBack = (unconfirmed: Trial) =>
    inTurn(async () => {
      if (trial !== unconfirmed) return;
      endTrial();
      log.error('the configuration on trial was not confirmed in time: what ran before runs again');
      await switchTo(unconfirmed.base);
    });

  const notUp = ({ needed, next }: Trial) => {
    if (needed === null) return next.tunnels.map(({ name }) => name);
    const up = namesOfUp(supervisor);
    return needed.filter((name) => !up.includes(name));
  };

  const reloadNow = async (): Promise<ReloadResult> => {
    try {
      const next = await deps.load();
      return await inTurn(async () => {
        if (endTrial() !== null) log.warn('the configuration on trial ends with a reload of the file');
        broken = null;
        const result = await switchTo(next);
        keepIfGood();
        log.info({ ...result.plan, notes: result.notes }, 'configuration reloaded');
        return result;
      });
    } catch (error) {
      broken = { message: errorText(error), at: clock.now() };
      log.error(`the configuration was not reloaded, everything stays as it was: ${errorText(error)}`);
      throw error;
    }
  };

  return {
    current: () => config,
    standing: () => ({
      problem: broken,
      trial: trial && { candidate: trial.candidate, until: trial.until, waitingFor: notUp(trial) },
    }),
    start: async () => {
      tellNotes(config);
      await supervisor.apply(config.tunnels);
    },
    // One that has not read the file yet does for all that ask meanwhile.
    reload: () => {
      nextReload ??= afterReading(() => {
        nextReload = null;
        return reloadNow();
      });
      return nextReload;
    },
    tryOut: (candidate, withinMs) =>
      afterReading(async () => {
        const next = await deps.loadCandidate(candidate);
        return await inTurn(async () => {
          const up = namesOfUp(supervisor);
          const begun: Trial = {
            candidate,
            next,
            base: endTrial()?.base ?? config,
            until: clock.now() + withinMs,
            needed: null,
            cancel: clock.timer(withinMs, () => void goBack(begun)),
          };
          trial = begun;
          const result = await switchTo(next);
          const { added, changed, unchanged } = result.plan;
          begun.needed = [...added, ...changed, ...unchanged.filter((name) => up.includes(name))];
          log.info({ ...result.plan, seconds: withinMs / 1000 }, 'a configuration runs on trial');
          return { ...result, until: clock.wall() + begun.until - clock.now() };
        });
      }),
    confirm: () =>
      afterReading(async () => {
        const filed = await deps.load();
        await inTurn(() => {
          if (trial === null) throw new RequestError('not-now', 'no configuration is on trial');
          const missing = notUp(trial);
          if (missing.length > 0)
            throw new RequestError('not-now', `not confirmed, because not every tunnel is up: ${missing.join(', ')}`);
          if (!isDeepStrictEqual(filed, trial.next))
            throw new RequestError('not-now', `not confirmed, because ${filed.file} does not say what is on trial`);
          endTrial();
          broken = null;
          log.info('the configuration on trial was confirmed');
          keepIfGood();
        });
      }),
    stop: () => void endTrial(),
  };
}

function namesOfUp(supervisor: Supervisor): readonly string[] {
  return supervisor
    .tunnels()
    .filter(({ state }) => state.phase === 'up')
    .map(({ spec }) => spec.name);
}

function restartNotes(before: Config, after: Config): readonly string[] {
  return [
    ...(before.control.socket === after.control.socket ? [] : ['control.socket changes at the next start']),
    ...(before.log.file === after.log.file ? [] : ['log.file changes at the next start']),
    ...(before.stateDirectory === after.stateDirectory ? [] : ['stateDirectory changes at the next start']),
  ];
}
