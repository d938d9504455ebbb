import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import type { Step } from '../../../src/install/steps/step.ts';
import { freePort, until } from '../../support/until.ts';
import { launchdProgram } from '../../install/launchd/build-program.ts';
import { fakeMac } from '../../install/launchd/mac.ts';

/** A Mac with a configuration whose tunnel has nowhere to go, and a home with a name that is hard to write. */
async function mac(t: TestContext) {
  const made = await fakeMac(t, 'Zoë & <"Co">');
  const folder = join(made.home, '.config/tunneld');
  const config = join(folder, 'config.yaml');
  const socket = join(made.home, 's');
  mkdirSync(folder, { recursive: true });
  const text = `tunnels:
  a: { host: 127.0.0.1, port: ${await freePort()}, remoteForward: "8080:localhost:22" }
network: { ping: [] }\n`;
  const writeConfig = (more: string) =>
    writeFileSync(
      config,
      `${text}${more}control: { socket: ${JSON.stringify(socket)} }\nstateDirectory: ${JSON.stringify(join(made.home, 'state'))}\n`,
    );
  writeConfig('');
  const program = await launchdProgram();
  const run = (...args: string[]) =>
    new Promise<{ code: number | null; stderr: string; steps: readonly Step[] }>((resolve, reject) => {
      const child = spawn(process.execPath, [...program, ...args], { env: { ...made.env, HOME: made.home } });
      let stdout = '';
      let stderr = '';
      child.stdout.setEncoding('utf8').on('data', (data: string) => (stdout += data));
      child.stderr.setEncoding('utf8').on('data', (data: string) => (stderr += data));
      child.once('error', reject);
      child.once('close', (code) => {
        const lines = stdout.split('\n').filter((line) => line.startsWith('{"type"'));
        resolve({ code, stderr, steps: lines.map((line) => JSON.parse(line) as Step) });
      });
      t.after(() => child.kill('SIGKILL'));
    });
  const logs = join(made.home, 'Library/Logs/tunneld');
  const plist = join(made.home, 'Library/LaunchAgents/dev.tunneld.tunneld.plist');
  return { ...made, program, config, writeConfig, socket, run, logs, plist };
}

describe('tunneld install on a Mac', { concurrency: 3 }, () => {
  test('installs an agent, installs it anew when asked again, and takes it away', async (t) => {
    const { run, get, set, calls, plist, logs, config, socket } = await mac(t);
    const first = await run('install');
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, /note: an agent runs only while you are logged in.*installed: gui\/501\/.* runs as me/s);
    assert.match(first.stderr, /note: FileVault is on: .* until its disk is unlocked/);
    assert.equal(statSync(plist).mode & 0o777, 0o644);
    const log = () => readFileSync(join(logs, 'tunneld.log'), 'utf8');
    assert.match(log(), /tunneld started/);
    assert.equal(statSync(join(logs, 'tunneld.log')).mode & 0o777, 0o600);
    assert.equal(readFileSync(join(logs, 'launchd.log'), 'utf8'), '');

    const pid = Number(get('pid'));
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    assert.ok(!environment.some((one) => one.startsWith('LAUNCHD_STATE')), 'nothing of ours is inherited');
    assert.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /Max core file size/);

    set('calls', '');
    const repeated = await run('install');
    assert.deepEqual([repeated.code, calls(), Number(get('pid'))], [0, [], pid]);
    assert.match(repeated.stderr, /nothing to do: gui\/501\/\S+ is installed and runs/);

    const inAMinute = new Date(Date.now() + 60_000);
    utimesSync(plist, inAMinute, inAMinute);
    assert.equal((await run('install')).code, 0);
    assert.deepEqual(
      calls().map((call) => call.split(' ')[0]),
      ['bootout', 'enable', 'bootstrap', 'kickstart'],
      'somebody wrote the plist, and launchd has not heard of it',
    );
    const past = new Date(0);
    utimesSync(plist, past, past);

    set('calls', '');
    set('going', '1');
    writeFileSync(plist, readFileSync(plist, 'utf8').replace('<integer>15<', '<integer>16<'));
    const changed = await run('install');
    assert.equal(changed.code, 0, changed.stderr);
    assert.deepEqual(
      calls().map((call) => call.split(' ')[0]),
      ['bootout', 'enable', 'bootstrap', 'kickstart'],
    );

    const removed = await run('uninstall');
    assert.equal(removed.code, 0, removed.stderr);
    assert.equal(get('service'), null);
    assert.deepEqual([existsSync(plist), existsSync(config), existsSync(logs)], [false, true, true]);
    await until(() => !existsSync(socket), { what: 'the end of the daemon' });
    const asked = await run('uninstall', '--purge');
    assert.equal(asked.code, 2);
    assert.match(
      asked.stderr,
      /there is no terminal to ask: The configuration, keys and state of .* will be deleted for good/,
    );
    assert.ok(existsSync(config));
    const again = await run('uninstall', '--purge', '--yes');
    assert.match(again.stderr, /there was no gui\/501/);
    assert.deepEqual([existsSync(config), existsSync(logs)], [false, false]);
  });

  test('installs nothing when the configuration is wrong', async (t) => {
    const { run, writeConfig, plist, calls } = await mac(t);
    writeConfig('nonsense: yes\n');
    const { code, stderr, steps } = await run('install');
    assert.equal(code, 78);
    assert.match(stderr, /config\.yaml:\d+:\d+: nonsense/);
    assert.deepEqual([steps, existsSync(plist), calls()], [[], false, ['']]);
  });

  test('prints what would be done, and does nothing, when it is a dry run', async (t) => {
    const { run, plist, calls } = await mac(t);
    const { code, steps } = await run('install', '--dry-run');
    assert.equal(code, 0);
    assert.deepEqual(
      steps.map((step) => (step.type === 'command' ? step.argv.slice(0, 2).join(' ') : step.type)),
      ['directory', 'directory', 'file', 'launchctl bootout', 'launchctl enable', 'launchctl bootstrap'],
    );
    const removal = await run('uninstall', '--dry-run', '--purge');
    assert.deepEqual(
      removal.steps.map(({ type }) => type),
      ['command', 'command', 'remove', 'remove', 'remove', 'remove'],
    );
    assert.deepEqual([existsSync(plist), calls()], [false, ['']]);
  });

  test('refuses a daemon of the system without sudo, and an agent when nobody is logged in at the screen', async (t) => {
    const { run, set, plist } = await mac(t);
    const daemon = await run('install', '--system');
    assert.deepEqual([daemon.code, existsSync(plist)], [1, false]);
    assert.match(daemon.stderr, /run this with sudo/);
    set('no-domain', '125');
    const agent = await run('install');
    assert.equal(agent.code, 1);
    assert.match(agent.stderr, /an agent needs me to be logged in at the screen/);
  });

  test('brings the service back when the installer comes through the tunnel and is cut off', async (t) => {
    const { program, run, set, get, plist, env, home } = await mac(t);
    assert.equal((await run('install')).code, 0);
    const old = get('pid');
    writeFileSync(plist, `${readFileSync(plist, 'utf8')}\n`);
    set('going', '3');
    const child = spawn(process.execPath, [...program, 'install'], { env: { ...env, HOME: home }, stdio: 'ignore' });
    await until(() => get('service')?.includes('until'), { what: 'the end of the old one' });
    child.kill('SIGKILL');
    await until(() => get('pid') !== null && get('pid') !== old, { what: 'the new one' });
  });
});
