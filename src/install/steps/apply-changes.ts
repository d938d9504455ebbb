import { unlink } from 'node:fs/promises';
import { makeDirectory } from '../../lib/files/make-directory.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { errorText } from '../../lib/text.ts';
import { accountOf, groupNumber, MADE_BY_US } from './accounts.ts';
import { unifiedDiff } from './diff.ts';
import { type FileState, setOwnership, readFileState, type Ownership, putFile, fileError } from './files.ts';
import { UserError } from '../../lib/user-error.ts';
import { mustRun, type Runner } from './run-program.ts';
import type { Rights, Step } from './step.ts';

/** A step that is not applied yet, with the present state of its path. */
export interface Change {
  readonly step: Step;
  readonly before: FileState | null;
}

/** The steps that are not applied yet. Commands are always among them: the planner leaves out what is not needed. */
export async function changesOf(steps: readonly Step[], run: Runner): Promise<readonly Change[]> {
  const changes: Change[] = [];
  for (const step of steps) {
    const before = 'path' in step ? await readFileState(step.path) : null;
    if (!(await isApplied(step, before, run))) changes.push({ step, before });
  }
  return changes;
}

async function isApplied(step: Step, before: FileState | null, run: Runner): Promise<boolean> {
  switch (step.type) {
    case 'command':
      return false;
    case 'user':
      return (await accountOf(run, step.name)) !== null;
    case 'remove':
      return before === null;
    case 'directory':
    case 'file': {
      if (before === null) return step.type === 'file' && step.content === null;
      if (before.kind !== step.type)
        throw new UserError(`${step.path} is a ${before.kind}, but a ${step.type} is needed there: move it away`);
      if (step.type === 'file' && step.content !== null && step.content !== before.content) return false;
      const wanted = await ownership(step, run);
      return wanted !== null && before.uid === wanted.uid && before.gid === wanted.gid && before.mode === wanted.mode;
    }
  }
}

/** Null where the user or the group does not exist yet. */
async function ownership({ owner, group, mode }: Rights, run: Runner): Promise<Ownership | null> {
  const uid = (await accountOf(run, owner))?.uid;
  const gid = await groupNumber(run, group);
  return uid === undefined || gid === null ? null : { uid, gid, mode };
}

/** Files without secrets, whatever their mode. */
const OPEN = /\.yaml$|known_hosts$/;

/** Prints a change, with a diff of files. Keys are not shown. */
export function showChange({ step, before }: Change): string {
  switch (step.type) {
    case 'command':
      return `run    ${step.argv.join(' ')}   (${step.why})`;
    case 'user':
      return `add    user ${step.name}   (home ${step.home}, no login)`;
    case 'remove':
      return `remove ${step.path}`;
    case 'directory':
      return `${before === null ? 'create' : 'change'} ${step.path}/   ${rights(step)}`;
    case 'file': {
      const head = `${before === null ? 'write ' : 'change'} ${step.path}   ${rights(step)}`;
      if (step.content === null || step.content === before?.content) return head;
      if ((step.mode & 0o044) === 0 && !OPEN.test(step.path)) return `${head}   (secret: not shown)`;
      const difference =
        before === null
          ? step.content.replace(/\n$/, '').replaceAll(/^/gm, '+')
          : unifiedDiff(before.content ?? '', step.content);
      return `${head}\n${difference.replaceAll(/^/gm, '    ')}`;
    }
  }
}

function rights({ mode, owner, group }: Rights): string {
  return `${mode.toString(8).padStart(4, '0')} ${owner}:${group}`;
}

/** Reverts the changes, the last first. Resolves with the failures. */
export type Undo = () => Promise<readonly string[]>;

/** Applies changes in their order. Where one fails, those before it are reverted, and the error says whether that worked. */
export async function applyChanges(
  changes: readonly Change[],
  run: Runner,
  onDone: (change: Change) => void,
): Promise<Undo> {
  const done: (() => Promise<unknown>)[] = [];
  const undo: Undo = async () => {
    const failed: string[] = [];
    for (const revert of done.splice(0).toReversed())
      await revert().catch((error: unknown) => failed.push(errorText(error)));
    return failed;
  };
  for (const change of changes) {
    try {
      done.push(await applyChange(change, run));
    } catch (error) {
      throw revertedError(error, await undo());
    }
    onDone(change);
  }
  return undo;
}

/**
 * The error of an installation that was reverted. `failed` are the failures of the reversal; `runsAgain` is added to the sentence that all
 * was reverted: ', and the old unit runs again'.
 */
export function revertedError(
  error: unknown,
  failed: readonly string[],
  runsAgain = '',
  log: readonly string[] = [],
): UserError {
  const exit = error instanceof UserError ? error.exit : EXIT.failed;
  return new UserError([errorText(error), ...log, revertedText(failed, runsAgain)].join('\n'), exit);
}

export function revertedText(failed: readonly string[], runsAgain: string): string {
  if (failed.length > 0) return `not all changes could be reverted: ${failed.join('; ')}`;
  return `all changes were reverted${runsAgain}`;
}

/** Resolves with a function that reverts the change. */
async function applyChange({ step, before }: Change, run: Runner): Promise<() => Promise<unknown>> {
  switch (step.type) {
    case 'command':
      await mustRun(run, step.argv);
      return () => Promise.resolve();
    case 'user':
      await mustRun(run, userAdd(step.name, step.home, (await groupNumber(run, step.name)) !== null));
      return () => mustRun(run, ['userdel', step.name]);
    case 'remove':
      // rm(1) does not follow a link that is put into the directory meanwhile; Node's rm may.
      await mustRun(run, ['rm', '-rf', '--', step.path]);
      return () => restore(step.path, before);
    case 'directory': {
      const wanted = await requireOwnership(step, run);
      if (before === null) {
        try {
          makeDirectory(step.path);
        } catch (error) {
          throw fileError('make', step.path, error);
        }
        await setOwnership(step.path, wanted);
        // With the files of a service that failed.
        return () => mustRun(run, ['rm', '-rf', '--', step.path]);
      }
      await setOwnership(step.path, wanted);
      return () => setOwnership(step.path, before);
    }
    case 'file': {
      const wanted = await requireOwnership(step, run);
      if (before !== null && (step.content === null || step.content === before.content)) {
        await setOwnership(step.path, wanted);
        return () => setOwnership(step.path, before);
      }
      await putFile(step.path, step.content ?? '', wanted);
      return () => restore(step.path, before);
    }
  }
}

async function restore(path: string, before: FileState | null): Promise<void> {
  if (before === null) await unlink(path);
  else if (before.content !== null) await putFile(path, before.content, before);
}

async function requireOwnership(step: Rights, run: Runner): Promise<Ownership> {
  const wanted = await ownership(step, run);
  if (wanted === null)
    throw new UserError(`user ${step.owner} or group ${step.group} does not exist: create it, and run this again`);
  return wanted;
}

function userAdd(name: string, home: string, hasGroup: boolean): readonly string[] {
  const group = hasGroup ? ['--gid', name] : ['--user-group'];
  const rest = ['--home-dir', home, '--no-create-home', '--shell', '/usr/sbin/nologin', '--comment', MADE_BY_US];
  return ['useradd', '--system', ...group, ...rest, name];
}
