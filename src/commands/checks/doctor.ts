import { isMeant } from '../../model/redundancy.ts';
import { dirname, join } from 'node:path';
import type { Config } from '../../model/config.ts';
import { systemEnvironment } from '../../config/input/environment.ts';
import { loadConfig } from '../../config/load.ts';
import { defaultStateDirectory } from '../../config/input/paths.ts';
import { ConfigError, formatProblem } from '../../config/input/problem.ts';
import { DaemonNotRunningError } from '../../control/client.ts';
import { stepsFromStatus } from '../../doctor/steps-from-status.ts';
import { checkDevice } from '../../doctor/check-device.ts';
import type { Step } from '../../doctor/check.ts';
import { nativeProblem } from '../../connection/ssh2/packets/native.ts';
import { readSourcePortFacts } from '../../doctor/source-port.ts';
import { readHostKeys } from '../../host/host-keys.ts';
import { anyAnswers } from '../../host/ping.ts';
import { openPortFile } from '../../host/source-port-file.ts';
import { lastLineAt, showUnit } from '../../host/systemd-unit.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { accountOf } from '../../install/steps/accounts.ts';
import { credentialProblems, loadsCredentials } from '../../install/systemd/credentials.ts';
import { hasNewKey } from '../../install/systemd/key-newer-than.ts';
import { SERVICE_USER, STATE } from '../../install/systemd/service-paths.ts';
import { runProgram } from '../../install/steps/run-program.ts';
import { isDenied } from '../../lib/files/read-file.ts';
import { painter } from '../../lib/paint.ts';
import { errorText, escapeUnsafeJson, printable } from '../../lib/text.ts';
import type { StatusDocument, TunnelStatus } from '../../status/document.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { formatListen, formatServer, initialState } from '../../model/state.ts';
import { daemonAccount } from '../find/daemon-account.ts';
import { daemonStatus } from '../find/daemon-status.ts';
import { checkOnce } from '../find/check-once.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { findConfig } from '../find/config-file.ts';
import { noSuchTunnel } from '../text/no-such-tunnel.ts';
import { wantsColour } from '../text/color.ts';

/** Where the steps are printed. */
export interface DoctorOutput {
  readonly isTTY: boolean;
  write(text: string): unknown;
}

/** Checks everything that a tunnel needs, with or without a running daemon. The exit code is 1 where a check fails. */
export async function doctor(
  flag: string | null,
  name: string | null,
  options: { readonly json: boolean; readonly fix: boolean },
  to: DoctorOutput = process.stdout,
): Promise<number> {
  const steps: Step[] = [];
  const colour = wantsColour(to);
  const onStep = (step: Step) => {
    steps.push(step);
    if (!options.json) to.write(formatStep(step, colour));
  };
  const end = () => {
    const ok = steps.every(({ result }) => result !== 'fail');
    if (options.json) to.write(`${escapeUnsafeJson(JSON.stringify({ ok, steps }, null, 2))}\n`);
    return ok ? EXIT.ok : EXIT.failed;
  };

  const config = await configuration(await findConfig(flag), onStep);
  if (config === null) return end();
  const tunnels = config.tunnels.filter((tunnel) => isMeant(tunnel.name, name));
  if (tunnels.length === 0) throw noSuchTunnel(name, config.tunnels);
  const installed = await loadsCredentials(config.file);
  await surroundings(config, installed, onStep);
  const { running, daemon, denied } = await queryDaemon(flag, onStep);
  // The service's own, also for a caller with another account.
  const isDefault = config.stateDirectory === defaultStateDirectory(systemEnvironment());
  const stateDirectory = installed && isDefault ? STATE : config.stateDirectory;
  const ofDaemon = async () => (denied ? 'unknown' : await daemonAccount(running, config.file));
  await checkDevice(tunnels, {
    wall: systemClock.wall,
    stateDirectory,
    configFile: config.file,
    fix: options.fix,
    unit: showUnit,
    lastLine: lastLineAt,
    installed,
    account: installed ? await accountOf(runProgram, SERVICE_USER) : await ofDaemon(),
    daemon,
    nativeCryptoProblem: nativeProblem(),
    onStep,
  });
  await checkTunnels(tunnels, { config, installed, stateDirectory, running, onStep });
  return end();
}

type OnStep = (step: Step) => void;

/** Null where it is not valid. */
async function configuration(file: string, onStep: OnStep): Promise<Config | null> {
  const about = { tunnel: null, step: 'configuration', ms: 0 } as const;
  try {
    return await loadConfig(file, systemEnvironment());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const denied = await isDenied(file);
    for (const problem of error.problems)
      onStep({
        ...about,
        result: 'fail',
        seen: formatProblem(problem),
        cure: denied ? 'sudo tunneld doctor' : CONFIG_CURE,
      });
    return null;
  }
}

async function surroundings(config: Config, installed: boolean, onStep: OnStep): Promise<void> {
  const about = { tunnel: null, step: 'configuration', ms: 0 } as const;
  onStep({ ...about, result: 'ok', seen: `${config.file} is valid` });
  for (const seen of installed ? await credentialProblems(dirname(config.file)) : [])
    onStep({ ...about, result: 'fail', seen, cure: SURROUNDINGS_CURE });
  for (const note of [...config.warnings, ...config.notes]) onStep({ ...about, result: 'warn', seen: printable(note) });
}

/** The daemon's status, and in a word its version or why it has none, null where none runs; `denied` is one that this user may not ask. */
async function queryDaemon(flag: string | null, onStep: OnStep) {
  try {
    const running = await daemonStatus(flag);
    return { running, denied: false, daemon: running?.version ?? null };
  } catch (error) {
    const denied = error instanceof DaemonNotRunningError;
    const step = { tunnel: null, step: 'service manager', seen: printable(errorText(error)), ms: 0 } as const;
    if (denied) onStep({ ...step, result: 'warn', cure: 'sudo tunneld doctor' });
    else onStep({ ...step, result: 'fail', cure: 'Restart it: sudo systemctl restart tunnel' });
    return { running: null, denied, daemon: denied ? 'this user may not connect to it' : 'it does not answer' };
  }
}

interface Surroundings {
  readonly config: Config;
  readonly installed: boolean;
  readonly stateDirectory: string;
  readonly running: StatusDocument | null;
  readonly onStep: OnStep;
}

async function checkTunnels(tunnels: readonly TunnelSpec[], around: Surroundings): Promise<void> {
  const { config, stateDirectory, running, onStep } = around;
  const { ping } = config.network;
  let readable = true;
  const ports = openPortFile(join(stateDirectory, 'source-ports.json'), () => (readable = false));
  for (const spec of tunnels) {
    const key = `${spec.name} ${formatServer(spec)}`;
    const sourcePort = await readSourcePortFacts(spec, {
      port: ports.recall(key)[0] ?? null,
      eviction: ports.eviction(key),
      readable,
    });
    const status = statusOf(running, spec, config.file);
    await reportOutdated(spec, status, around);
    await checkOnce(spec, {
      hostKeys: () => readHostKeys(),
      ping: ping.length === 0 ? null : (signal) => anyAnswers(ping, signal),
      fromDaemon: status === undefined ? null : stepsFromStatus(status, spec, sourcePort),
      sourcePort,
      onStep,
    });
  }
}

/** Warns where the daemon runs another configuration of this tunnel than the file has. */
async function reportOutdated(
  spec: TunnelSpec,
  status: TunnelStatus | undefined,
  { config, installed, running, onStep }: Surroundings,
): Promise<void> {
  const lacks = status === undefined && running?.config === config.file;
  if (!lacks && (status === undefined || !isOutdated(status, spec))) return;
  const seen = lacks
    ? `the daemon does not have ${spec.name} yet`
    : `the daemon runs an older configuration of ${spec.name}`;
  const needs = installed && running !== null && (await hasNewKey(spec, Date.parse(running.startedAt)));
  const cure = needs ? 'sudo tunneld reload   (root hands its new key to the service)' : 'tunneld reload';
  onStep({ tunnel: null, step: 'configuration', result: 'warn', seen, ms: 0, cure });
}

/** The daemon's status of this tunnel; a daemon with another configuration may have another tunnel of the same name. */
export function statusOf(
  running: StatusDocument | null,
  spec: TunnelSpec,
  configFile: string,
): TunnelStatus | undefined {
  const status = running?.tunnels.find((tunnel) => tunnel.name === spec.name);
  return status !== undefined && running?.config !== configFile && isOutdated(status, spec) ? undefined : status;
}

/** Whether the daemon runs another server or other listeners than the file has now. */
function isOutdated({ server, forwards }: TunnelStatus, spec: TunnelSpec): boolean {
  const now = initialState(spec, 0).forwards.map((forward) => formatListen(forward));
  const fixed = (listen: string, index: number) => {
    const one = spec.forwards[index]?.listen;
    return one?.type === 'tcp' && one.port === 0 ? now[index] : listen;
  };
  const then = forwards.map(({ listen }, index) => fixed(listen, index));
  return server !== formatServer(spec) || then.join(' ') !== now.join(' ');
}

const SURROUNDINGS_CURE =
  'Move it out of /etc/tunneld, which is for keys and configurations; the service keeps running until its next start.';
const CONFIG_CURE = 'Correct that line; `tunneld check` reads the file again.';

function formatStep({ tunnel, step, result, seen, ms, cure }: Step, colour: boolean): string {
  const where = tunnel === null ? step : `${tunnel}: ${step}`;
  const time = ms > 0 ? ` (${ms} ms)` : '';
  const advice = cure === undefined || result === 'ok' ? '' : `     → ${cure}\n`;
  return `${painter(colour)(result.padEnd(4), COLOURS[result])} ${where.padEnd(28)} ${seen}${time}\n${advice}`;
}

const COLOURS: Readonly<Record<Step['result'], number>> = { ok: 32, warn: 33, fail: 31, skip: 90 };
