import { chmod, chown, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createFile } from '../lib/files/create-file.ts';
import { readTextIfThere } from '../lib/files/read-file.ts';
import { succeeds } from '../lib/async/succeeds.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { makeKey } from './new-key.ts';

/** The change from a tunnel's keys to a new one. */
export interface Rotation {
  readonly next: string;
  /** The keys that it replaces. */
  readonly old: readonly string[];
  /**
   * `begun`: the configuration has the old keys, and the server may have the new one already; `switched`: the configuration has the new
   * key, and the server may have the old ones still.
   */
  readonly phase: 'begun' | 'switched';
  /** The hidden file that exists until it is finished. */
  readonly record: string;
}

/** What a rotation is for: one of the one kind does not finish one of the other, which has done something else at the server. */
export type RotationKind = 'key' | 'identity';

/**
 * The rotation that was begun and not finished, else a new one. What was begun is known by a hidden file beside the new key, which names
 * the keys that it replaces: written before the key, removed at the end.
 */
export async function rotationOf(
  tunnel: Pick<TunnelSpec, 'name' | 'identityFiles'>,
  first: string,
  kind: RotationKind,
): Promise<Rotation> {
  const [current = first] = tunnel.identityFiles;
  const record = recordPath(current, kind);
  const replaced = await readRecord(record);
  if (replaced !== null) return { next: current, old: replaced, phase: 'switched', record };
  const next = await nextPath(current, kind);
  return { next, old: tunnel.identityFiles, phase: 'begun', record: recordPath(next, kind) };
}

/** Makes the new key, with mode and owner of the old one, which the service can read. */
export async function makeNextKey({ next, old, record }: Rotation, comment: string): Promise<void> {
  if (!(await succeeds(stat(record)))) await createFile(record, `${old.join('\n')}\n`, 0o600);
  await makeKey(next, comment);
  const [before] = await Promise.all(old.slice(0, 1).map((path) => stat(path).catch(() => null)));
  if (before == null) return;
  await chmod(next, before.mode & 0o640);
  if (process.getuid?.() === 0) await chown(next, before.uid, before.gid);
}

/** Removes the files of old keys which `isOurs`, and forgets the rotation; resolves with those that stay. */
export async function finishRotation(
  { old, record }: Rotation,
  isOurs: (path: string) => Promise<boolean>,
): Promise<readonly string[]> {
  const kept: string[] = [];
  for (const path of old) {
    const isThere = await succeeds(stat(path));
    // A run that was killed may have left its public half.
    if (!isThere && !(await succeeds(stat(`${path}.pub`)))) continue;
    if (await isOurs(path)) for (const file of [path, `${path}.pub`]) await rm(file, { force: true });
    else if (isThere) kept.push(path);
  }
  await rm(record, { force: true });
  return kept;
}

/** Null where there is none. */
async function readRecord(path: string): Promise<readonly string[] | null> {
  const text = await readTextIfThere(path);
  return text === null ? null : text.split('\n').filter((line) => line !== '');
}

/** Hidden, so that systemd does not take it for a credential. */
function recordPath(key: string, kind: RotationKind): string {
  return join(dirname(key), `.${basename(key)}.${kind === 'key' ? 'replaces' : 'identity'}`);
}

/** `relay.key`, `relay.2.key`, `relay.3.key`: the first that does not exist, or was begun. */
async function nextPath(current: string, kind: RotationKind): Promise<string> {
  const [, stem = current, number = '1', end = ''] = /^(.*?)(?:\.(\d{1,6}))?(\.key)?$/s.exec(current) ?? [];
  for (let next = Number(number) + 1; ; next += 1) {
    const path = `${stem}.${next}${end}`;
    const isTaken = (await succeeds(stat(path))) || (await succeeds(stat(`${path}.pub`)));
    if (!isTaken || (await readRecord(recordPath(path, kind))) !== null) return path;
  }
}
