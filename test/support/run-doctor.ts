import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Step } from '../../src/doctor/check.ts';
import { tunnelYaml } from './daemon-config.ts';
import { startEcho } from './echo.ts';
import { startSshd, type SshdOptions, type TestSshd } from './sshd.ts';
import { tunneld, type CommandResult } from './tunneld.ts';
import { freePort, tempDir } from './until.ts';

export interface Report extends CommandResult {
  readonly steps: readonly Step[];
  of(step: string): readonly Step[];
}

export interface World {
  readonly t: TestContext;
  readonly sshd: TestSshd;
  readonly port: number;
  readonly yaml: string;
  closeTarget(): Promise<void>;
}

/** An sshd, and a tunnel called a that leads from it to an echo. */
export async function world(t: TestContext, options: SshdOptions = {}): Promise<World> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  return {
    t,
    sshd,
    port,
    closeTarget: () => echo.close(),
    yaml: `tunnels:\n${tunnelYaml(sshd, 'a', `${port}:127.0.0.1:${echo.port}`)}`,
  };
}

/** Runs the command on a configuration with these tunnels. */
export async function doctor(
  t: TestContext,
  yaml: string,
  options: { readonly state?: string; readonly args?: readonly string[] } = {},
): Promise<Report> {
  const dir = await tempDir(t);
  const file = join(dir, 'config.yaml');
  writeFileSync(
    file,
    `${yaml}network: { ping: [] }\ncontrol: { socket: ${dir}/c.sock }\nstateDirectory: ${options.state ?? dir}\n`,
  );
  const result = await tunneld(['doctor', '--json', '--config', file, ...(options.args ?? [])]);
  const { steps } = result.stdout === '' ? { steps: [] } : (JSON.parse(result.stdout) as { steps: readonly Step[] });
  return { ...result, steps, of: (step) => steps.filter((one) => one.step === step) };
}
