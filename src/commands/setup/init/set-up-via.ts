import { hostQuery } from '../../../connection/known-hosts/check-host-key.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { SPARE_FILE } from '../../../server-rules/server-setup.ts';
import { pinSpare } from '../../../setup/spare-host-key.ts';
import { report } from '../../text/report.ts';
import { agreeOn, openOwner } from '../owner.ts';
import { type Comparison, compareWithFile, tunnelsOf } from './compare.ts';
import { makeKeyFor } from './make-key.ts';
import type { Outcome } from './outcome.ts';
import { marksIn, type Task } from './task.ts';
import { writeConfig } from './write-config.ts';

/** Sets the server up over the owner's login, and makes key and configuration here; the answer is the tunnel as it was agreed on. */
export async function setUpVia(task: Task, before: Comparison, login: TunnelSpec): Promise<TunnelSpec> {
  const { file, asked, settings, jump, spare, questions, outcome } = task;
  const owner = await openOwner(login, asked.user, questions);
  try {
    const marks = await marksIn(before);
    const wanted = await agreeOn(
      asked,
      owner,
      { marks, configured: before.existing !== null, given: task.isKeyGiven },
      questions,
    );
    const compared = await compareWithFile(file, wanted, jump, settings);
    const { existing, fresh, tunnels } = compared;
    await makeKeyFor(task, wanted, compared);
    report(
      `here, ${existing === null ? `the tunnel ${wanted.name} is added to ${file}` : `${file} has this tunnel already`}`,
    );
    const spec = existing ?? fresh;
    const all = [...tunnels.filter(({ name }) => name !== spec.name), spec];
    const done = await owner.setUp(spec, all, jump, questions, spare);
    if (done.changed) outcome.changes.push(`the server ${owner.login} is set up for the user ${spec.user}`);
    if (done.spare !== null) await pin(spec, done.spare, outcome);
    else if (spare)
      report(`${owner.login} printed no spare host key, so that none is known here: look at ${SPARE_FILE} there`);
    // Confirmed with the changes of the server.
    await writeConfig(task, wanted, compared, async () => true);
    return (await tunnelsOf(file)).find(({ name }) => name === wanted.name)!;
  } finally {
    await owner.close();
  }
}

/** It came over the owner's login, from the server's own administrator. */
async function pin(
  { host, port, hostKeyAlias, userKnownHostsFiles: [file] }: TunnelSpec,
  key: Buffer,
  outcome: Outcome,
) {
  if (file === undefined) return report('userKnownHostsFile names no file: the spare host key is not kept');
  if (await pinSpare(file, hostQuery(host, port, hostKeyAlias), key))
    outcome.changed(`the spare host key of ${host} is known in ${file}`);
}
