import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { createFile } from '../../../lib/files/create-file.ts';
import { makeDirectory } from '../../../lib/files/make-directory.ts';
import { readText } from '../../../lib/files/read-file.ts';
import type { NewTunnel } from '../../../setup/new-config.ts';
import { checkKey, makeKey } from '../../../setup/new-key.ts';
import { report } from '../../text/report.ts';
import type { Comparison } from './compare.ts';
import type { Task } from './task.ts';

/** Makes the key of the tunnel, or copies the given one to its place. */
export async function makeKeyFor({ keyFrom, outcome }: Task, wanted: NewTunnel, compared: Comparison): Promise<void> {
  if (!usesNewKey(wanted, compared)) return;
  const { identityFile, name } = wanted;
  const copied = keyFrom !== null && !(await checkKey(identityFile));
  if (copied) {
    makeDirectory(dirname(identityFile));
    await createFile(identityFile, await readText(keyFrom), 0o600);
    outcome.changed(`copied the key ${keyFrom} to ${identityFile}`);
  }
  const made = await makeKey(identityFile, `tunneld ${name} of ${hostname()}`);
  if (made) outcome.changed(`made the key ${identityFile}`);
  else if (!copied) report(`the key ${identityFile} exists and is used`);
}

/** A tunnel that a person wrote has a key of its own. */
export function usesNewKey({ identityFile }: NewTunnel, { existing }: Comparison): boolean {
  return existing === null || existing.identityFiles.includes(identityFile);
}
