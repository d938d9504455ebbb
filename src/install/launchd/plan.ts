import { dirname } from 'node:path';
import type { Step } from '../steps/step.ts';
import { renderJob } from './job.ts';
import { ownDirectories, type LaunchdService } from './service.ts';

/** What has to be there before launchd is told. `files` are those in its directories, which only the account may read. */
export function launchdPlan(service: LaunchdService, files: readonly string[]): readonly Step[] {
  const { name: owner, group } = service.account;
  const own = { owner, group };
  // launchd takes no plist that others could have written (launchctl(1), load), and no service starts whose account cannot open
  // its error log (https://newbetuts.com/34215527-what-does-launchd-status-78-mean-why-my-user-agent-not-running).
  const root = service.kind === 'daemon' ? { owner: 'root', group: 'wheel' } : own;
  return [
    ...(service.kind === 'agent'
      ? [{ type: 'directory' as const, path: dirname(service.plist), mode: 0o755, ...own }]
      : []),
    ...ownDirectories(service).map((directory) => ({ type: 'directory' as const, ...directory, ...own })),
    ...files.map((path) => ({ type: 'file' as const, path, mode: 0o600, ...own, content: null })),
    { type: 'file', path: service.plist, mode: 0o644, ...root, content: renderJob(service) },
  ];
}

/** What is taken away once launchd has let go; `purge` is what else is to go besides the logs, or null where all that stays. */
export function launchdRemoval(service: LaunchdService, purge: readonly string[] | null): readonly Step[] {
  const more = purge === null ? [] : [service.logDirectory, ...purge];
  return [service.plist, ...more].map((path) => ({ type: 'remove', path }));
}

/** What loading does, for people: launchctl itself is called with more patience (see load.ts). */
export function loadingSteps({ domain, target, plist }: LaunchdService): readonly Step[] {
  return [
    { type: 'command', argv: ['launchctl', 'bootout', target], why: 'an older one ends, if there is one' },
    { type: 'command', argv: ['launchctl', 'enable', target], why: 'it may have been disabled, which is remembered' },
    { type: 'command', argv: ['launchctl', 'bootstrap', domain, plist], why: 'it is loaded, and starts' },
  ];
}

/** What unloading does, likewise. */
export function unloadingSteps({ target }: LaunchdService): readonly Step[] {
  return [
    { type: 'command', argv: ['launchctl', 'bootout', target], why: 'it ends' },
    { type: 'command', argv: ['launchctl', 'disable', target], why: 'it does not start again' },
  ];
}
