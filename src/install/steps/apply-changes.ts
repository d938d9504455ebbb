import { unlink } from 'node:fs/promises';
import { makeDirectory } from '../../lib/files/make-directory.ts';
import { errorText } from '../../lib/text.ts';
import { accountOf, groupNumber, MADE_BY_US } from './accounts.ts';
import { unifiedDiff } from './diff.ts';
import { type FileState, setOwnership, readFileState, type Ownership, putFile, fileError } from './files.ts';
import { InstallError } from './install-error.ts';
import { mustRun, type Runner } from './run-program.ts';
import type { Step } from './step.ts';

/** A step that is not so yet, with what is there in its place. */
export interface Change {
  readonly step: Step;
  readonly before: FileState | null;
}

/** Which steps are not so yet. A command always counts: whoever plans it knows why. */
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
        throw new InstallError(`${step.path} is a ${before.kind}, and has to be a ${step.type}: move it away`);
      if (step.type === 'file' && step.content !== null && step.content !== before.content) return false;
      const wanted = await ownership(step, run);
      return wanted !== null && before.uid === wanted.uid && before.gid === wanted.gid && before.mode === wanted.mode;
    }
  }
}

/** Null where the owner is still to be made. */
async function ownership(
  { owner, group, mode }: { readonly owner: string; readonly group: string; readonly mode: number },
  run: Runner,
): Promise<Ownership | null> {
  const uid = (await accountOf(run, owner))?.uid;
  const gid = await groupNumber(run, group);
  return uid === undefined || gid === null ? null : { uid, gid, mode };
}

/** Files that hold no secret, though they may be closed to others. */
const OPEN = /\.yaml$|known_hosts$/;

/** A change for people: what, and how files differ. Keys are not shown. */
export function showChange({ step, before }: Change): string {
  switch (step.type) {
    case 'command':
      return `run    ${step.argv.join(' ')}   (${step.why})`;
    case 'user':
      return `add    user ${step.name}   (home ${step.home}, without a login)`;
    case 'remove':
      return `remove ${step.path}`;
    case 'directory':
      return `${before === null ? 'make  ' : 'change'} ${step.path}/   ${rights(step)}`;
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

function rights({ mode, owner, group }: { readonly mode: number; readonly owner: string; readonly group: string }) {
  return `${mode.toString(8).padStart(4, '0')} ${owner}:${group}`;
}

/** Takes back what was done, the last first; the answer is what could not be taken back. */
export type Undo = () => Promise<readonly string[]>;

/** Does what is to be done. Where something fails, what was done before is taken back, and the error says how that went. */
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
      const left = await undo();
      const state = left.length === 0 ? 'everything is as it was' : `not all could be taken back: ${left.join('; ')}`;
      throw new InstallError(`${errorText(error)}\n${state}`, error instanceof InstallError ? error.exit : 1);
    }
    onDone(change);
  }
  return undo;
}

/** The answer takes it back. */
async function applyChange({ step, before }: Change, run: Runner): Promise<() => Promise<unknown>> {
  switch (step.type) {
    case 'command':
      await mustRun(run, step.argv);
      return () => Promise.resolve();
    case 'user':
      await mustRun(run, userAdd(step.name, step.home, (await groupNumber(run, step.name)) !== null));
      return () => mustRun(run, ['userdel', step.name]);
    case 'remove':
      // Not Node's rm, which may be led out of a directory by somebody who puts a link there meanwhile; rm(1) may not.
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
        // With what a service that failed left in it.
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

async function requireOwnership(
  step: { readonly owner: string; readonly group: string; readonly mode: number },
  run: Runner,
): Promise<Ownership> {
  const wanted = await ownership(step, run);
  if (wanted === null) throw new InstallError(`there is no user ${step.owner}, or no group ${step.group}`);
  return wanted;
}

function userAdd(name: string, home: string, hasGroup: boolean): readonly string[] {
  const group = hasGroup ? ['--gid', name] : ['--user-group'];
  const rest = ['--home-dir', home, '--no-create-home', '--shell', '/usr/sbin/nologin', '--comment', MADE_BY_US];
  return ['useradd', '--system', ...group, ...rest, name];
}
