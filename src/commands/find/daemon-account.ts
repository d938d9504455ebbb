import { stat } from 'node:fs/promises';
import type { Account } from '../../doctor/known-hosts-access.ts';
import { accountOf } from '../../install/steps/accounts.ts';
import { runProgram } from '../../install/steps/run-program.ts';
import type { StatusDocument } from '../../status/document.ts';

/** The account that the daemon of this configuration runs as, also where it is no installed service; null where it is the caller's, or unknown. */
export async function daemonAccount(
  running: Pick<StatusDocument, 'pid' | 'config'> | null,
  configFile: string,
): Promise<Account | null> {
  if (running === null || running.config !== configFile) return null;
  const its = await stat(`/proc/${running.pid}`).catch(() => null);
  const who = its === null ? await userFromPs(running.pid) : String(its.uid);
  const account = who === '' ? null : await accountOf(runProgram, who);
  // In a container an uid needs no entry in passwd(5).
  const found = account ?? (its === null ? null : { name: who, uid: its.uid, gid: its.gid });
  return found?.uid === process.getuid?.() ? null : found;
}

/** macOS has no /proc. */
async function userFromPs(pid: number): Promise<string> {
  return (await runProgram(['ps', '-o', 'user=', '-p', String(pid)])).stdout.trim();
}
