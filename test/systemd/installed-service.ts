import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ask } from '../../src/control/client.ts';
import { escapeControls } from '../../src/lib/text.ts';
import type { StatusDocument, TunnelStatus } from '../../src/status/document.ts';
import { startEcho } from '../support/echo.ts';
import { startSshd } from '../support/sshd.ts';
import { bootSystemd, type SystemdBox } from '../support/systemd-box.ts';
import { freePort, PATIENCE_MS, until } from '../support/until.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const HOME = '/var/lib/tunneld';

/** tunneld in a box, installed as the README says. */
export interface InstalledService {
  configure(yaml: string): void;
  /** Adds lines to the unit's [Service]. */
  dropIn(...lines: readonly string[]): Promise<void>;
  property(name: string): Promise<string>;
  status(): Promise<StatusDocument>;
  untilTunnel(name: string, condition: (tunnel: TunnelStatus) => boolean, timeoutMs?: number): Promise<TunnelStatus>;
  /** All that tunneld wrote so far, over all its lives. */
  journal(): Promise<readonly JournalEntry[]>;
}

export interface JournalEntry {
  readonly message: string;
  /** The syslog priority: 3 is an error, 6 is information. */
  readonly priority: number;
  /** All that the journal has of it. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A box with nothing but the program, and a server with a target that tunnels may use; null where no box can be had. */
export async function bootWithServer(t: TestContext) {
  const box = await bootSystemd(t);
  if (box === null) return null;
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  await putProgram(box);
  return { box, sshd, echo, service: serviceIn(box), port: await freePort() };
}

/** A machine with nothing of tunneld on it but the program, as npm installs it. */
export async function putProgram(box: SystemdBox): Promise<void> {
  // Somebody who runs the tests may have tunneld installed: in the box there is nothing of it.
  for (const path of [HOME, '/var/lib/private/tunneld', '/etc/tunneld', '/usr/local/lib/node_modules/tunneld'])
    rmSync(box.path(path), { recursive: true, force: true });
  rmSync(box.path('/usr/bin/tunneld'), { force: true });
  rmSync(box.path('/usr/local/bin/tunneld'), { force: true });
  if ((await box.run('id', 'tunneld')).code === 0) await box.must('userdel', 'tunneld');

  cpSync(`${root}/dist`, box.path('/usr/local/lib/node_modules/tunneld/dist'), { recursive: true });
  await box.must('chmod', '-R', 'a+rX', '/usr/local/lib/node_modules');
  mkdirSync(box.path('/usr/local/bin'), { recursive: true });
  symlinkSync('../lib/node_modules/tunneld/dist/cli.js', box.path('/usr/local/bin/tunneld'));
}

/** Where the key of putKey() is in the box. */
export const KEY = '/etc/tunneld/client.key';

/** A key in the box, as somebody puts it there who knows nothing of its rights. */
export function putKey(box: SystemdBox, clientKey: string): void {
  mkdirSync(box.path('/etc/tunneld'), { recursive: true, mode: 0o755 });
  writeFileSync(box.path(KEY), readFileSync(clientKey), { mode: 0o600 });
}

/** `clientKey` is a private key that may log in; `yaml` the configuration. It is not started. */
export async function installService(box: SystemdBox, clientKey: string, yaml: string): Promise<InstalledService> {
  await putProgram(box);
  putKey(box, clientKey);
  const service = serviceIn(box);
  service.configure(yaml);
  await box.must('tunneld', 'install', '--no-start');
  return service;
}

/** The service of a box, once it is installed. */
export function serviceIn(box: SystemdBox): InstalledService {
  // As `tunneld status --json` does, which would take a quarter of a second of the processor each time.
  const status = async () => {
    const answer = await ask([box.path('/run/tunneld/control.sock')], { command: 'status' });
    if (!answer.ok) throw new Error(answer.message);
    return answer.result;
  };
  return {
    configure: (yaml) => writeFileSync(box.path('/etc/tunneld/config.yaml'), yaml, { mode: 0o644 }),
    dropIn: async (...lines) => {
      const folder = box.path('/etc/systemd/system/tunnel.service.d');
      mkdirSync(folder, { recursive: true });
      writeFileSync(`${folder}/test.conf`, ['[Service]', ...lines, ''].join('\n'));
      await box.must('systemctl', 'daemon-reload');
    },
    property: async (name) => (await box.must('systemctl', 'show', '--value', '-p', name, 'tunnel')).trim(),
    status,
    untilTunnel: async (name, condition, timeoutMs = PATIENCE_MS) => {
      let last: TunnelStatus | undefined;
      const isSo = async () => {
        last = (await status()).tunnels.find((tunnel) => tunnel.name === name);
        return last !== undefined && condition(last) && last;
      };
      return until(isSo, { timeoutMs, what: () => `the state of ${name}, which is ${JSON.stringify(last)}` });
    },
    journal: async () => {
      await box.must('journalctl', '--sync');
      const lines = await box.must(
        'journalctl',
        '--unit=tunnel',
        '--identifier=tunneld',
        '--output=json',
        '--no-pager',
      );
      return lines.trimEnd().split('\n').map(journalEntry);
    },
  };
}

/** The journal gives text as a string, and what it holds to be binary data as a list of bytes. */
function journalEntry(line: string): JournalEntry {
  const fields = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const { MESSAGE, PRIORITY } = fields;
  if (typeof MESSAGE !== 'string') throw new Error(`not a line of text: ${line}`);
  if (escapeControls(MESSAGE) !== MESSAGE) throw new Error(`control characters: ${escapeControls(MESSAGE)}`);
  return { message: MESSAGE, priority: Number(PRIORITY), fields };
}
