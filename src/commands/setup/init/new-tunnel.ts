import { dirname, resolve } from 'node:path';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { loadConfig } from '../../../config/load.ts';
import { DaemonNotRunningError } from '../../../control/client.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { formatServer } from '../../../model/state.ts';
import { doctor, statusOf } from '../../checks/doctor.ts';
import { daemonStatus } from '../../find/daemon-status.ts';
import type { Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { trustLogin } from '../owner-of.ts';
import { serverSetupText } from '../server-setup.ts';
import { trustRoute } from '../trust.ts';
import { untilServerIsReady } from '../wait-for-server.ts';
import { handOut } from '../write-script.ts';
import { tunnelsOf } from './compare.ts';
import { dryRun } from './dry-run.ts';
import { withKeyThatOpens } from './encrypted-key.ts';
import { finish } from './finish.ts';
import { makeKeyFor } from './make-key.ts';
import type { Outcome } from './outcome.ts';
import { readSettings, type Settings } from './set.ts';
import { setUpVia } from './set-up-via.ts';
import type { InitOptions, Task } from './task.ts';
import { wantedTunnel } from './wanted.ts';
import { writeConfig } from './write-config.ts';

/** One run of init without --from; the answer is the exit code. */
export async function makeTunnel(
  file: string,
  configFlag: string,
  options: InitOptions,
  questions: Questions,
  outcome: Outcome,
): Promise<number> {
  const { admin, ...wanted } = await wantedTunnel(file, options, questions);
  const { name } = wanted.tunnel;
  Object.assign(outcome, { file, tunnel: name });
  report(`configuration ${file}, tunnel ${name}: ${formatServer(wanted.tunnel)}`);
  // All that can be wrong with it is found before anything is made; and the server comes first, so that a wrong address leaves nothing.
  const settings = readSettings(options.set);
  const { asked, keyFrom, compared } = await withKeyThatOpens(file, wanted, options, settings, questions);
  const tunnel = compared.existing ?? compared.fresh;
  const isKeyGiven = options.i !== null && (keyFrom ?? asked.identityFile) === resolve(options.i);
  const jump = options.jump || (await askForJump(settings, admin, questions));
  const spare = options.spareHostKey === true;
  const task: Task = { file, configFlag, asked, keyFrom, isKeyGiven, settings, jump, spare, questions, outcome };
  if (options.dryRun) return await dryRun(task, compared, admin);
  const given = { option: '--host-key-fingerprint', given: options.hostKeyFingerprint, alone: true };
  for (const { host: its, userKnownHostsFiles } of await trustRoute(tunnel, given, questions))
    outcome.changes.push(`the host key of ${its} is known in ${userKnownHostsFiles[0]}`);
  if (admin !== null) {
    const login = await trustLogin(tunnel, admin, questions);
    const spec = await setUpVia(task, compared, login);
    if (!options.wait) return EXIT.ok;
    const code = await prove(configFlag, spec, file);
    return await finish(configFlag, spec, login, code, questions, outcome);
  }

  await makeKeyFor(task, asked, compared);
  await writeConfig(task, asked, compared, questions.confirm);
  const spec = (await tunnelsOf(file)).find(({ name }) => name === asked.name)!;
  await handOutScript(spec, task, options.json ? outcome : null);
  if (options.wait) return await prove(configFlag, spec, file);
  report('when the script has run there: tunneld doctor');
  return EXIT.ok;
}

/** Verification needs the same way, so that it is there unless that is off. */
async function askForJump(
  settings: Settings,
  admin: TunnelSpec | null,
  { interactive, yes, confirm }: Questions,
): Promise<boolean> {
  if (settings['verify'] !== 'off' || admin !== null || !interactive || yes) return false;
  return await confirm(
    "Will people reach this device with the tunnel's own key, without a login of theirs on the server? Then the server lets it connect to the port (--jump)",
  );
}

/** The script for a person to run: into a file, or where standard output leads; with --json into the document. */
async function handOutScript(
  spec: TunnelSpec,
  { file, jump, spare }: Pick<Task, 'file' | 'jump' | 'spare'>,
  outcome: Outcome | null,
): Promise<void> {
  const { tunnels } = await loadConfig(file, systemEnvironment());
  const script = await serverSetupText(spec, tunnels, { jump, undo: false, spareHostKey: spare, for: 'debian' });
  if (outcome !== null) {
    outcome.script = script;
    return;
  }
  await handOut(script, `${spec.name}-server-setup.sh`, dirname(file), {
    piped: ' (for other systems: tunneld server-setup --help)',
    written: `; or run this again with --via ME@${spec.host}, your own login there, which does it`,
  });
}

/** Waits until the server is ready, and shows that the whole route works; the exit code is that of doctor. */
async function prove(configFlag: string, spec: TunnelSpec, file: string): Promise<number> {
  const running = await daemonStatus(configFlag).catch((error: unknown) => {
    if (error instanceof DaemonNotRunningError) return null; // another user's
    throw error;
  });
  if (statusOf(running, spec, file) !== undefined) report('the daemon has this tunnel already');
  else await untilServerIsReady(spec, report);
  // Not on standard output, where the script may be on its way into a file.
  return await doctor(configFlag, spec.name, { json: false, fix: false }, process.stderr);
}
