import { createQueue } from '../lib/async/queue.ts';
import { isAbsolute } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../model/config.ts';
import type { ReloadResult, TrialResult } from '../control/protocol.ts';
import { tunnelOf } from '../model/redundancy.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { RequestError } from '../control/server.ts';
import type { Clock } from '../lib/async/clock.ts';
import type { RootLogger } from '../lib/log/log.ts';
import { errorText, printable } from '../lib/text.ts';
import type { ConfigurationState } from '../status/health.ts';
import type { Supervisor } from '../supervisor/supervisor.ts';
import type { IdentityCache } from '../connection/auth/identity-cache.ts';
import type { LastGoodKeeper } from './last-good.ts';

export interface ConfigurationDeps {
  readonly clock: Clock;
  readonly log: RootLogger;
  readonly supervisor: Supervisor;
  readonly identities: IdentityCache;
  /** Reads the configuration file; rejects with a ConfigError where it is not valid. */
  load(): Promise<Config>;
  /** The same for a candidate, a file beside it. */
  loadCandidate(name: string): Promise<Config>;
  /** The last configuration that worked, of an earlier run. */
  readonly lastGood: Config | null;
  readonly keeper: LastGoodKeeper;
}

interface Trial {
  readonly candidate: string;
  readonly next: Config;
  readonly base: Config;
  /** Of the monotonic clock, in milliseconds. */
  readonly until: number;
  /** Tunnels that must be up; null until they are started. */
  needed: readonly string[] | null;
  readonly cancel: () => void;
}

/** Which configuration runs, and whether it is what its file has. */
export class Configuration {
  readonly #deps: ConfigurationDeps;
  /** With which specifications tunnels have been up at some time, also in earlier runs of the daemon. */
  readonly #proven: Map<string, TunnelSpec>;
  #config: Config;
  #broken: ConfigurationState['problem'];
  #trial: Trial | null = null;
  #kept: Config | null = null;
  #nextReload: Promise<ReloadResult> | null = null;
  /** One change after the other. */
  readonly #oneAtATime = createQueue();
  /** One change that reads a file first after the other; a file that hangs does not delay the end of a trial. */
  readonly #afterReading = createQueue();

  /** `problem` is why `first` is not what the file has, or null. */
  constructor(first: Config, problem: string | null, deps: ConfigurationDeps) {
    this.#deps = deps;
    this.#config = first;
    this.#broken = problem === null ? null : { message: problem, at: deps.clock.now() };
    this.#proven = new Map(deps.lastGood?.tunnels.map((spec) => [spec.name, spec]));
    deps.supervisor.subscribe(() => this.#keepIfGood());
  }

  current(): Config {
    return this.#config;
  }

  state(): ConfigurationState {
    const trial = this.#trial;
    return {
      problem: this.#broken,
      trial: trial && { candidate: trial.candidate, until: trial.until, waitingFor: this.#notUp(trial) },
    };
  }

  async start(): Promise<void> {
    this.#logNotes(this.#config);
    await this.#deps.supervisor.apply(this.#config.tunnels);
  }

  /**
   * Applies the file as it is now, which ends a trial; a file that is not valid changes nothing, is logged, and rejects. A reload that has
   * not read the file yet serves all that ask meanwhile.
   */
  reload(): Promise<ReloadResult> {
    this.#nextReload ??= this.#afterReading(() => {
      this.#nextReload = null;
      return this.#reloadNow();
    });
    return this.#nextReload;
  }

  async #reloadNow(): Promise<ReloadResult> {
    const { clock, log } = this.#deps;
    try {
      const next = await this.#deps.load();
      return await this.#oneAtATime(async () => {
        if (this.#endTrial() !== null) log.warn('the trial of a configuration was ended by a reload of the file');
        this.#broken = null;
        const result = await this.#switchTo(next);
        this.#keepIfGood();
        log.info({ ...result.plan, notes: result.notes }, 'configuration reloaded');
        return result;
      });
    } catch (error) {
      this.#broken = { message: errorText(error), at: clock.now() };
      log.error(`the configuration was not reloaded, and the running one stays: ${errorText(error)}`);
      throw error;
    }
  }

  /** Runs a candidate; rolls back to what ran before unless confirm() is called in time. */
  tryOut(candidate: string, withinMs: number): Promise<TrialResult> {
    const { clock, log, supervisor } = this.#deps;
    return this.#afterReading(async () => {
      const next = await this.#deps.loadCandidate(candidate);
      return await this.#oneAtATime(async () => {
        const up = namesOfUp(supervisor);
        const begun: Trial = {
          candidate,
          next,
          base: this.#endTrial()?.base ?? this.#config,
          until: clock.now() + withinMs,
          needed: null,
          cancel: clock.timer(withinMs, () => void this.#goBack(begun)),
        };
        this.#trial = begun;
        const result = await this.#switchTo(next);
        const { added, changed, unchanged } = result.plan;
        begun.needed = [...added, ...changed, ...unchanged.filter((name) => up.includes(name))];
        log.info({ ...result.plan, seconds: withinMs / 1000 }, 'a configuration is on trial');
        return { ...result, until: clock.wall() + begun.until - clock.now() };
      });
    });
  }

  #goBack(unconfirmed: Trial): Promise<void> {
    return this.#oneAtATime(async () => {
      if (this.#trial !== unconfirmed) return;
      this.#endTrial();
      this.#deps.log.error('the configuration on trial was not confirmed in time: what ran before runs again');
      await this.#switchTo(unconfirmed.base);
    });
  }

  /** Ends the trial in favour of the candidate, which must be in the file by now; rejects while its tunnels are not up. */
  confirm(): Promise<void> {
    return this.#afterReading(async () => {
      const filed = await this.#deps.load();
      await this.#oneAtATime(() => {
        if (this.#trial === null) throw new RequestError('not-now', 'no configuration is on trial');
        const missing = this.#notUp(this.#trial);
        if (missing.length > 0)
          throw new RequestError('not-now', `not confirmed, because not every tunnel is up: ${missing.join(', ')}`);
        if (!isDeepStrictEqual(filed, this.#trial.next))
          throw new RequestError('not-now', `not confirmed, because ${filed.file} is not what is on trial`);
        this.#endTrial();
        this.#broken = null;
        this.#deps.log.info('the configuration on trial was confirmed');
        this.#keepIfGood();
      });
    });
  }

  stop(): void {
    this.#endTrial();
  }

  #endTrial(): Trial | null {
    const ended = this.#trial;
    ended?.cancel();
    this.#trial = null;
    return ended;
  }

  #notUp({ needed, next }: Trial): readonly string[] {
    if (needed === null) return next.tunnels.map(({ name }) => name);
    const up = namesOfUp(this.#deps.supervisor);
    // A tunnel with several servers is up where one of them has it.
    return needed.filter((name) => !up.includes(name));
  }

  async #switchTo(next: Config): Promise<ReloadResult> {
    const { log, supervisor, identities } = this.#deps;
    const notes = restartNotes(this.#config, next);
    this.#config = next;
    log.level = next.log.level;
    this.#logNotes(next);
    const plan = await supervisor.apply(next.tunnels);
    identities.retain(next.tunnels);
    return { plan, notes };
  }

  /** Not while a trial runs, or a configuration that is older than its file. A command line has no file to lose. */
  #keepIfGood(): void {
    const { supervisor, keeper } = this.#deps;
    for (const { spec, state } of supervisor.tunnels()) if (state.phase === 'up') this.#proven.set(spec.name, spec);
    const config = this.#config;
    if (this.#kept === config || this.#trial !== null || this.#broken !== null || !isAbsolute(config.file)) return;
    if (!areProven(config.tunnels, this.#proven)) return;
    this.#kept = config;
    keeper.keep(config, () => {
      // The next change of a tunnel writes it.
      if (this.#kept === config) this.#kept = null;
    });
  }

  #logNotes({ notes, warnings }: Config): void {
    for (const warning of warnings) this.#deps.log.warn(printable(warning));
    for (const note of notes) this.#deps.log.info(printable(note));
  }
}

function namesOfUp(supervisor: Supervisor): readonly string[] {
  const tunnels = supervisor.tunnels();
  const up = new Set(tunnels.filter(({ state }) => state.phase === 'up').map(({ spec }) => tunnelOf(spec.name)));
  return tunnels.map(({ spec }) => spec.name).filter((name) => up.has(tunnelOf(name)));
}

/** One of the servers is enough for a tunnel that has several. */
function areProven(specs: readonly TunnelSpec[], proven: ReadonlyMap<string, TunnelSpec>): boolean {
  const known = specs.filter((spec) => isDeepStrictEqual(proven.get(spec.name), spec));
  const names = new Set(known.map(({ name }) => tunnelOf(name)));
  return specs.every(({ name }) => names.has(tunnelOf(name)));
}

function restartNotes(before: Config, after: Config): readonly string[] {
  return [
    ...(before.control.socket === after.control.socket ? [] : ['control.socket changes at the next start']),
    ...(before.log.file === after.log.file ? [] : ['log.file changes at the next start']),
    ...(before.stateDirectory === after.stateDirectory ? [] : ['stateDirectory changes at the next start']),
  ];
}
