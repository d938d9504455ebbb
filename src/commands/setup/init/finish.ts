import { existsSync } from 'node:fs';
import { CONFIG } from '../../../install/systemd/service-paths.ts';
import { sleep, systemClock } from '../../../lib/async/clock.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import type { TunnelStatus } from '../../../status/document.ts';
import { reload } from '../../daemon/reload.ts';
import { daemonStatus } from '../../find/daemon-status.ts';
import { install } from '../../service/install.ts';
import type { Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import { clientPaste } from '../client-setup.ts';
import type { Outcome } from './outcome.ts';

/**
 * The end of init where the server is set up: makes the tunnel a service after a question, waits for its verified result, and prints the
 * block for the laptop. `code` is the exit code so far, 0 where the route works.
 */
export async function finish(
  configFlag: string,
  spec: TunnelSpec,
  via: TunnelSpec,
  code: number,
  questions: Questions,
  outcome: Outcome,
): Promise<number> {
  const result = code === EXIT.ok ? await offerService(configFlag, spec, questions, outcome) : code;
  outcome.clientSetup = await clientPaste(spec, { user: null, alias: null, via, hostKeys: '/etc/ssh' });
  process.stdout.write(outcome.clientSetup);
  return result;
}

async function offerService(
  configFlag: string,
  spec: TunnelSpec,
  { interactive, yes, confirm }: Questions,
  outcome: Outcome,
): Promise<number> {
  const running = await daemonStatus(configFlag);
  if (running?.tunnels.some(({ name }) => name === spec.name) === true)
    return await untilVerified(configFlag, spec.name);
  if ((!interactive && !yes) || !(running !== null || mayInstall())) {
    report(
      running === null ? 'to make it a service: sudo tunneld install' : 'to start it in the daemon: tunneld reload',
    );
    return EXIT.ok;
  }
  const question =
    running === null ? 'Make it a service now, which starts with this device?' : 'Start it in the running daemon now?';
  if (!(await confirm(question))) return EXIT.ok;
  if (running !== null) {
    await reload(configFlag, null, { keysOnly: false });
    outcome.changed('the running daemon has it');
  } else {
    const copied = configFlag === CONFIG ? null : configFlag;
    const code = await install(copied, { user: false, dryRun: false, start: true, yes: true });
    if (code !== EXIT.ok) return code;
    outcome.changed('it is a service now');
  }
  return await untilVerified(configFlag, spec.name);
}

function mayInstall(): boolean {
  return process.getuid?.() === 0 && (process.platform === 'darwin' || existsSync('/run/systemd/system'));
}

/** Waits for the daemon's own word; a tunnel that does not come up in time is no success. */
export async function untilVerified(configFlag: string, name: string): Promise<number> {
  let tunnel: TunnelStatus | undefined;
  for (let waited = 0; waited < VERIFIED_MS; waited += 200) {
    tunnel = (await daemonStatus(configFlag))?.tunnels.find((one) => one.name === name);
    if (tunnel !== undefined && isVerified(tunnel)) {
      report(`${name} is up, and verified: visitors of the server's port come out here`);
      return EXIT.ok;
    }
    if (tunnel?.phase === 'blocked') break;
    await sleep(systemClock, 200);
  }
  const { phase = 'missing', failure } = tunnel ?? {};
  report(
    `${name} is ${phase}${failure === undefined ? ', not verified' : `: ${failure.code}: ${failure.message}`} (tunneld doctor ${name})`,
  );
  return phase === 'up' ? EXIT.ok : EXIT.failed;
}

const VERIFIED_MS = 30_000;

function isVerified({ phase, forwards }: TunnelStatus): boolean {
  return (
    phase === 'up' &&
    forwards.every(({ kind, state, verified }) => kind !== 'remote' || (state === 'up' && verified === 'yes'))
  );
}
