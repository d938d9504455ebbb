import { dirname } from 'node:path';
import type { Step } from '../steps/step.ts';
import { renderJob } from './job.ts';
import { ownDirectories, type LaunchdService } from './service.ts';

/** The steps before the service is loaded. `files` are those in its directories, which only the account may read. */
export function launchdPlan(service: LaunchdService, files: readonly string[]): readonly Step[] {
  const { name: owner, group } = service.account;
  const own = { owner, group };
  // launchd refuses a plist that others may write to (launchctl(1), load), and starts no service whose account cannot open its
  // error log (https://newbetuts.com/34215527-what-does-launchd-status-78-mean-why-my-user-agent-not-running).
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

/** What is removed once the service is unloaded. `purge` are the paths to remove besides the logs; null keeps them all. */
export function launchdRemoval(service: LaunchdService, purge: readonly string[] | null): readonly Step[] {
  const more = purge === null ? [] : [service.logDirectory, ...purge];
  return [service.plist, ...more].map((path) => ({ type: 'remove', path }));
}

/** What loading does, for a dry run: the real calls retry (load.ts). */
export function loadingSteps({ domain, target, plist }: LaunchdService): readonly Step[] {
  return [
    { type: 'command', argv: ['launchctl', 'bootout', target], why: 'unload the previous instance, if any' },
    { type: 'command', argv: ['launchctl', 'enable', target], why: 'enable it, in case it was disabled' },
    { type: 'command', argv: ['launchctl', 'bootstrap', domain, plist], why: 'load and start it' },
  ];
}

/** What unloading does, for a dry run. */
export function unloadingSteps({ target }: LaunchdService): readonly Step[] {
  return [
    { type: 'command', argv: ['launchctl', 'bootout', target], why: 'stop it' },
    { type: 'command', argv: ['launchctl', 'disable', target], why: 'keep it from starting again' },
  ];
}
