import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { parseConfig } from '../../../config/parse.ts';
import { changing } from '../../../config/change-lock.ts';
import { loadConfig } from '../../../config/load.ts';
import { hostQuery } from '../../../connection/known-hosts/check.ts';
import { DaemonNotRunningError } from '../../../control/client.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { createFile } from '../../../lib/files/create-file.ts';
import { makeDirectory } from '../../../lib/files/make-directory.ts';
import { readText, readTextIfThere } from '../../../lib/files/read-file.ts';
import { replaceFile } from '../../../lib/files/replace-file.ts';
import { errorCode, errorText } from '../../../lib/text.ts';
import { asUserError, UserError } from '../../../lib/user-error.ts';
import { formatEndpoint } from '../../../model/endpoint.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { addToConfig, newConfig, type NewTunnel } from '../../../setup/new-config.ts';
import { checkKey, makeKey } from '../../../setup/new-key.ts';
import { SPARE_FILE } from '../../../server-rules/server-setup.ts';
import { pinSpare } from '../../../setup/spare-host-key.ts';
import { doctor, statusOf } from '../../checks/doctor.ts';
import { findConfig } from '../../find/config-file.ts';
import { daemonStatus } from '../../find/daemon-status.ts';
import { createQuestions, type Questions } from '../../text/prompt.ts';
import { printOnlyJson } from '../../text/only-json.ts';
import { printError, report } from '../../text/report.ts';
import { changeConfig } from '../change-config.ts';
import { trustRoute } from '../trust.ts';
import { initFrom, offerFrom } from './from.ts';
import { initDocument, Outcome } from './outcome.ts';
import { useOfKey } from './key.ts';
import { readSettings, type Settings } from './set.ts';
import { finish } from './finish.ts';
import { agreeOn, openOwner } from '../owner.ts';
import { untilServerIsReady } from '../wait-for-server.ts';
import { type Comparison, compareWithFile, tunnelsOf } from './compare.ts';
import { isSystems, ownKey, type Wanted, type WantedOptions, wantedTunnel } from './wanted.ts';
import { schemaUrl } from './schema-url.ts';
import { serverSetupText } from '../server-setup.ts';
import { handOut } from '../write-script.ts';
import { isServerOf, knownAs, trustOther } from '../owner-of.ts';
import { dryRun } from './dry-run.ts';
import { marksIn, type Task } from './task.ts';

export interface InitOptions extends WantedOptions {
  readonly hostKeyFingerprint: string | null;
  /** Whether the script for the server allows the key to reach the port through the server too. */
  readonly jump: boolean;
  /** Whether the server gets a spare host key, which is pinned here. */
  readonly spareHostKey?: boolean;
  readonly wait: boolean;
  readonly yes: boolean;
  /** What to take over instead of making a tunnel from nothing; null for that. */
  readonly from: string | null;
  readonly dryRun: boolean;
  /** Whether one JSON document is all that is printed on standard output. */
  readonly json: boolean;
}

/**
 * Makes a tunnel from nothing: key, host key, configuration, the script for the server, and the proof. Repeated, it goes on where it was, and
 * changes nothing where all is so. The exit code is that of doctor at its end; 10 for a dry run that would change something.
 */
export async function init(flag: string | null, options: InitOptions): Promise<number> {
  const outcome = new Outcome();
  if (!options.json) return await initWith(flag, options, outcome);
  let code: number = EXIT.failed;
  await printOnlyJson(async () => {
    let failure: UserError | null = null;
    try {
      code = await initWith(flag, options, outcome);
    } catch (error) {
      failure = asUserError(error);
      if (failure === null) throw error;
      code = failure.exit;
      printError(failure);
    }
    return initDocument(outcome, code, failure?.message ?? null);
  });
  return code;
}

async function initWith(flag: string | null, options: InitOptions, outcome: Outcome): Promise<number> {
  const questions = createQuestions(options.yes);
  try {
    const from = options.from ?? (isBare(options) && (await offerFrom(flag, questions)) ? 'autossh' : null);
    if (from !== null && options.server !== null)
      throw new UserError('--from takes over what is there: leave the server out', EXIT.usage);
    if (from !== null) return await initFrom(flag, from, options, questions, outcome);
    const file = resolve(await findConfig(flag));
    const make = () => work(file, flag ?? file, options, questions, outcome);
    const code = options.dryRun ? await make() : await changing(file, 'init', make);
    if (outcome.changes.length === 0 && code === EXIT.ok)
      report('nothing to do: all is so already, and nothing was changed');
    return code;
  } catch (error) {
    if (errorCode(error) !== 'EACCES') throw error;
    throw new UserError(`${errorText(error)}: ${MAY_NOT_WRITE}`, EXIT.failed, { cause: error });
  } finally {
    questions.close();
  }
}

/** Nothing was said of what to make. */
function isBare({ server, via, forwards, set, name, i, certificate, yes }: InitOptions): boolean {
  const given = [server, via, name, i, certificate];
  return given.every((one) => one === null) && forwards.length === 0 && set.length === 0 && !yes;
}

const MAY_NOT_WRITE = 'run this with sudo, or name a file of your own with --config FILE';

async function work(
  file: string,
  configFlag: string,
  options: InitOptions,
  questions: Questions,
  outcome: Outcome,
): Promise<number> {
  const { admin, ...wanted } = await wantedTunnel(file, options, questions);
  const { name, user, host, port } = wanted.tunnel;
  Object.assign(outcome, { file, tunnel: name });
  report(`configuration ${file}, tunnel ${name}: ${user}@${formatEndpoint({ type: 'tcp', host, port })}`);
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
    const login = isServerOf(tunnel, admin) ? knownAs(tunnel, admin) : await trustOther(admin, questions);
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

/** What is made, once a key that is encrypted was dealt with. */
async function withKeyThatOpens(
  file: string,
  { tunnel: asked, keyFrom }: Pick<Wanted, 'tunnel' | 'keyFrom'>,
  options: InitOptions,
  settings: Settings,
  questions: Questions,
): Promise<{ readonly asked: NewTunnel; readonly keyFrom: string | null; readonly compared: Comparison }> {
  const compared = await compareWithFile(file, asked, options.jump, settings);
  if (usesNewKey(asked, compared)) await checkKey(asked.identityFile);
  const key = keyFrom ?? asked.identityFile;
  // A tunnel that a person wrote is as that person wants it.
  if (compared.existing !== null || !(await checkKey(key))) return { asked, keyFrom, compared };
  // The service has no agent of a login.
  const hasAgent = settings['identityAgent'] !== undefined || !isSystems(dirname(file));
  const spec = { ...compared.fresh, identityFiles: [key], ...(hasAgent ? {} : { identityAgent: null }) };
  const own = ownKey(file, asked.name);
  const mayBeOwn = options.i !== null && options.certificate === null && key !== own;
  const use = await useOfKey(spec, mayBeOwn, questions);
  if (use.type === 'as-it-is') return { asked, keyFrom, compared };
  const next =
    use.type === 'own-key'
      ? { tunnel: { ...asked, identityFile: own }, keyFrom: null }
      : { tunnel: { ...asked, more: { ...asked.more, passphraseFile: use.path } }, keyFrom };
  return await withKeyThatOpens(file, next, options, settings, questions);
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

/** A tunnel that a person wrote has a key of its own. */
function usesNewKey({ identityFile }: NewTunnel, { existing }: Comparison): boolean {
  return existing === null || existing.identityFiles.includes(identityFile);
}

async function makeKeyFor({ keyFrom, outcome }: Task, wanted: NewTunnel, compared: Comparison): Promise<void> {
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

/** Sets the server up over the owner's login, and makes key and configuration here; the answer is the tunnel as it was agreed on. */
async function setUpVia(task: Task, before: Comparison, login: TunnelSpec): Promise<TunnelSpec> {
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

/**
 * Writes the tunnel into the file, unless that has it; changed keys by a trial. Rejects with a UserError where that is not confirmed, or the
 * changed tunnel does not come up.
 */
async function writeConfig(
  { file, configFlag, outcome }: Task,
  wanted: NewTunnel,
  { existing, edited }: Comparison,
  confirm: Questions['confirm'],
): Promise<void> {
  if (existing !== null) {
    if (edited === null) return report(`${file} has this tunnel already`);
    if (!(await confirm(`Change the tunnel ${wanted.name} in ${file}?`)))
      throw new UserError(`${file} was left as it is`);
    await changeConfig(configFlag, file, edited);
    outcome.changed(`changed ${wanted.name} in ${file}`);
    return;
  }
  const text = await readTextIfThere(file);
  if (text === null) {
    makeDirectory(dirname(file));
    await createFile(file, newConfig(wanted, schemaUrl(process.argv[1] ?? '')), await modeIn(dirname(file)));
    outcome.changed(`wrote ${file}`);
    return;
  }
  if (!(await confirm(`Add the tunnel ${wanted.name} to ${file}?`))) throw new UserError(`${file} was left as it is`);
  await replaceFile(file, addToConfig(text, wanted), (added) => parseConfig(added, file, systemEnvironment()));
  outcome.changed(`added to ${file}`);
}

/** In a folder that its group may read, as a package makes it for the service, so is the file: the service reads it as soon as it exists. */
async function modeIn(directory: string): Promise<number> {
  const { mode } = await stat(directory);
  return (mode & 0o070) === 0o050 && isSystems(directory) ? 0o640 : 0o600;
}
