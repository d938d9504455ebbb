import { hostQuery, knownKeyTypes } from '../../../connection/known-hosts/check-host-key.ts';
import { loadKnownHosts } from '../../../connection/known-hosts/file.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { checkKey } from '../../../setup/new-key.ts';
import { isPinned } from '../../../setup/spare-host-key.ts';
import { isSetUp, openOwner, type Owner } from '../owner.ts';
import type { Comparison } from './compare.ts';
import { isServerOf, knownAs } from '../owner-of.ts';
import { marksIn, type Task } from './task.ts';

/** Says what would change; only looks, at the server too where its key is known. */
export async function dryRun(task: Task, compared: Comparison, admin: TunnelSpec | null): Promise<number> {
  const { file, asked, keyFrom, outcome } = task;
  const would = (text: string) => outcome.changes.push(text);
  if (compared.existing === null && !(await checkKey(asked.identityFile)))
    would(keyFrom === null ? `make the key ${asked.identityFile}` : `copy the key ${keyFrom} to ${asked.identityFile}`);
  const tunnel = compared.existing ?? compared.fresh;
  const isKnown = await knowsHost(tunnel);
  if (!isKnown) would(`add the host key of ${tunnel.host} to ${tunnel.userKnownHostsFiles[0]}, once it is compared`);
  if (compared.existing === null) would(`add the tunnel ${asked.name} to ${file}`);
  if (compared.edited !== null) would(`change the tunnel ${asked.name} in ${file}`);
  if (admin !== null) for (const text of await wouldSetUp(task, compared, admin, isKnown)) would(text);
  for (const text of outcome.changes) process.stdout.write(`would ${text}\n`);
  return outcome.changes.length > 0 ? EXIT.wouldChange : EXIT.ok;
}

async function wouldSetUp(
  { asked, spare, questions }: Task,
  { existing, fresh }: Comparison,
  admin: TunnelSpec,
  isKnown: boolean,
): Promise<readonly string[]> {
  const tunnel = existing ?? fresh;
  if (!isKnown || !isServerOf(tunnel, admin)) {
    const file = tunnel.userKnownHostsFiles[0];
    const pins = spare ? [`make a spare host key of ${asked.host} known in ${file}, where it is not`] : [];
    return [`set the user ${asked.user} up on ${asked.host}, which was not looked at`, ...pins];
  }
  const owner = await openOwner(knownAs(tunnel, admin), asked.user, questions);
  await owner.close();
  const marks = await marksIn({ existing, fresh });
  const user = isSetUp(owner.look, asked, marks) ? [] : [`set the user ${asked.user} up on ${owner.login}`];
  return [...user, ...(spare ? await wouldPin(tunnel, owner) : [])];
}

/** What is missing of the spare host key, there and here. Without a login there, it is a person who makes it known. */
async function wouldPin(
  { host, port, hostKeyAlias, userKnownHostsFiles: [file] }: TunnelSpec,
  { look, login }: Owner,
): Promise<readonly string[]> {
  const missing = look.spare === null ? [`make a spare host key on ${login}`] : [];
  if (file === undefined) return missing;
  const isKnown = look.spare !== null && (await isPinned(file, hostQuery(host, port, hostKeyAlias), look.spare));
  return isKnown ? missing : [...missing, `make the spare host key of ${host} known in ${file}`];
}

async function knowsHost(tunnel: TunnelSpec): Promise<boolean> {
  const { entries } = await loadKnownHosts([...tunnel.userKnownHostsFiles, ...tunnel.globalKnownHostsFiles]);
  return knownKeyTypes(entries, hostQuery(tunnel.host, tunnel.port, tunnel.hostKeyAlias)).length > 0;
}
