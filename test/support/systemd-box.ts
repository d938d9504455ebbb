import { execFile, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { CommandResult } from './tunneld.ts';
import { until } from './until.ts';

const SCRIPT = fileURLToPath(new URL('systemd-box.sh', import.meta.url));

/** A real systemd as process 1 of its own namespaces, over a copy in memory of this machine's files. It shares the network. */
export interface SystemdBox {
  /** A file in the box, as this process reaches it. */
  path(inside: string): string;
  /** Runs a command in the box, as its root, to the end. */
  run(program: string, ...args: readonly string[]): Promise<CommandResult>;
  /** The same for a command that has to succeed; the answer is its standard output. */
  must(program: string, ...args: readonly string[]): Promise<string>;
}

/**
 * Boots one for the test, and ends it whatever becomes of the test or of this process. Where that is impossible the test is
 * skipped, and the answer is null; but under CI, where nobody would miss it, it fails.
 */
export async function bootSystemd(t: TestContext): Promise<SystemdBox | null> {
  const impossible = (why: string) => {
    const message = `this test needs Linux with systemd, and root who may mount: ${why}`;
    if (process.env['CI'] === 'true') throw new Error(message);
    t.skip(message);
    return null;
  };
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return impossible('this is not root on Linux');
  const dir = mkdtempSync(join(tmpdir(), 'tunneld-box-'));
  const child = spawn('sh', [SCRIPT, dir, process.execPath], { stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  t.after(async () => {
    if (stdout !== '') keepCoverage(Number(stdout));
    child.stdin.end();
    await closed;
    rmSync(dir, { recursive: true, force: true }); // empty: what was mounted there nobody else has seen
  });

  const ended = () => child.exitCode !== null;
  await until(() => ended() || stdout.endsWith('\n'), { what: () => `process 1 of the box; ${stderr}` });
  if (ended()) {
    await closed;
    const problem = stderr.trim().replaceAll('\n', '; ');
    if (child.exitCode === NOT_PERMITTED) return impossible(problem);
    throw new Error(`the box did not start: ${problem}`);
  }
  const pid = Number(stdout);
  const run = (program: string, ...args: readonly string[]) => runInside(pid, [program, ...args]);
  await until(async () => (await run('systemctl', 'is-system-running', '--wait')).stdout === 'running\n', {
    what: () => `the end of the boot; ${stderr}`,
  });
  return {
    path: (inside) => `/proc/${pid}/root${inside}`,
    run,
    must: async (program, ...args) => {
      const { code, stdout, stderr } = await run(program, ...args);
      if (code !== 0)
        throw new Error(`${[program, ...args].join(' ')} ended with ${code ?? 'a time-out'}: ${stdout}${stderr}`);
      return stdout;
    },
  };
}

const NOT_PERMITTED = 77;
const COMMAND_TIMEOUT_MS = 120_000;

/** What a login shell of root would have, and nothing of ours. */
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
  SYSTEMD_PAGER: '',
  SYSTEMD_COLORS: '0',
};

/** What commands in the box noted of themselves where coverage is measured: in its copy of the folder, which goes with it. */
function keepCoverage(pid: number): void {
  const folder = process.env['NODE_V8_COVERAGE'];
  if (folder === undefined) return;
  const inside = `/proc/${pid}/root${folder}`;
  for (const name of existsSync(inside) ? readdirSync(inside) : [])
    if (!existsSync(join(folder, name))) copyFileSync(join(inside, name), join(folder, name));
}

function runInside(pid: number, command: readonly string[]): Promise<CommandResult> {
  const options = { env: ENVIRONMENT, timeout: COMMAND_TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve) => {
    const child = execFile(
      'nsenter',
      ['--target', String(pid), '--all', '--', ...command],
      options,
      (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}
