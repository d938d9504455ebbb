import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { type Launchctl, systemLaunchctl } from '../../src/install/launchd/launchctl.ts';
import { loadService } from '../../src/install/launchd/load.ts';
import { renderPlist } from '../../src/install/launchd/plist.ts';
import { LABEL, launchdService, type LaunchdService } from '../../src/install/launchd/service.ts';
import { disableService, unloadService } from '../../src/install/launchd/unload.ts';
import type { Clock } from '../../src/lib/async/clock.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { separately } from '../support/separately.ts';
import { tempDir, until } from '../support/until.ts';
import { scaledClock } from '../support/scaled-clock.ts';
import { fakeMac, type FakeMac } from './launchd/mac.ts';

const TARGET = `gui/501/${LABEL}`;

/** A service that sleeps. */
async function start(t: TestContext, clock: Clock = patient) {
  const mac = await fakeMac(t);
  const account = { name: 'me', uid: 501, group: 'staff', home: mac.home };
  const wish = { kind: 'agent', account, node: '/n', program: '/p', config: '/c' } as const;
  const service: LaunchdService = { ...launchdService(wish), plist: join(mac.home, `${LABEL}.plist`) };
  const writeJob = (seconds: number) =>
    writeFileSync(service.plist, renderPlist('', { Label: LABEL, ProgramArguments: ['sleep', String(seconds)] }, {}));
  writeJob(600);
  const deps = { clock, launchctl: systemLaunchctl(mac.env), env: mac.env };
  return {
    mac,
    service,
    deps,
    writeJob,
    load: (unchanged = false) => loadService(service, unchanged, deps),
    unload: () => unloadService(service, deps),
    running: () => until(() => mac.get('pid'), { what: 'the program' }),
  };
}

/** A process that has started the rescuer. */
async function startInstaller(t: TestContext, service: LaunchdService, mac: FakeMac, then: string) {
  const { node, url } = separately('src/install/launchd/rescue.ts');
  const code = `import { startRescue } from ${JSON.stringify(url)};
startRescue(${JSON.stringify(service)}, process.env)${then}; console.log('started'); setInterval(() => {}, 60_000);`;
  const [program, ...flags] = node;
  const child = spawn(program!, [...flags, '--input-type=module', '-e', code], {
    env: mac.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

/** For what is given up, and for what is not, however slow the machine is. */
const hasty = scaledClock(20);
const patient: Clock = {
  ...systemClock,
  now: () => systemClock.now() / 20,
};

const LOADING = ['bootout', 'enable', 'bootstrap', 'kickstart'];
const verbs = (mac: FakeMac) => mac.calls().map((call) => call.split(' ')[0]);

describe('loading and unloading with launchctl', { concurrency: 4 }, () => {
  test('loads a service when it is not loaded yet', async (t) => {
    const { mac, service, load, running } = await start(t);
    await load();
    assert.deepEqual(mac.calls(), [
      `bootout ${TARGET}`,
      `enable ${TARGET}`,
      `bootstrap gui/501 ${service.plist}`,
      `kickstart ${TARGET}`,
    ]);
    await running();
  });

  for (const [name, say] of [
    ['5', []],
    ['37', ['says-37']],
  ] as const) {
    test(`waits when an older one takes its time to end, and does not believe ${name}`, async (t) => {
      const { mac, load, running } = await start(t);
      await load();
      const old = await running();
      for (const file of say) mac.set(file, 'yes');
      mac.set('going', '1');
      await load();
      assert.deepEqual(verbs(mac), [...LOADING, ...LOADING], 'one bootstrap was enough');
      await until(() => mac.get('pid') !== null && mac.get('pid') !== old, { what: 'another program' });
    });
  }

  test('only starts a service anew when it is unchanged, without a moment in which launchd does not know it', async (t) => {
    const { mac, load, running } = await start(t);
    await load();
    const old = await running();
    mac.set('calls', '');
    await load(true);
    assert.deepEqual(mac.calls(), [`enable ${TARGET}`, `kill SIGTERM ${TARGET}`]);
    await until(() => mac.get('pid') !== null && mac.get('pid') !== old, { what: 'another program' });
  });

  test('goes on when failures are such that pass', async (t) => {
    const { mac, load, running } = await start(t);
    mac.set('fail-bootstrap', '5 37 36');
    await load();
    assert.equal(verbs(mac).filter((verb) => verb === 'bootstrap').length, 4);
    await running();
  });

  test('enables a service when it was disabled, also when that comes up late', async (t) => {
    const { mac, service, deps, load, running } = await start(t);
    await disableService(service, deps.launchctl);
    await load();
    await running();
    await unloadService(service, deps);
    mac.set('fail-bootstrap', '119');
    mac.set('calls', '');
    await load();
    assert.deepEqual(verbs(mac), ['bootout', 'enable', 'bootstrap', 'enable', 'bootstrap', 'kickstart']);
  });

  test('names a plist when it is none, with what to look at', async (t) => {
    const { service, load } = await start(t, hasty);
    writeFileSync(service.plist, '<plist>');
    await assert.rejects(
      load(),
      /launchd did not load .*\.plist: Bootstrap failed: 5: .*\n.*plutil -lint .*ls -l .*you/s,
    );
  });

  test('reports a failure at once when it cannot pass', async (t) => {
    const { mac, load } = await start(t);
    mac.set('fail-bootstrap', '1');
    await assert.rejects(load(), /launchctl bootstrap failed with 1: Bootstrap failed: 1: Operation not permitted/);
    mac.set('fail-bootout', '1');
    await assert.rejects(load(), /launchctl bootout failed with 1: /);
  });

  for (const code of ['112', '125']) {
    test(`says what to do when the user is not logged in at the screen (${code})`, async (t) => {
      const { mac, load, unload } = await start(t);
      mac.set('no-domain', code);
      await assert.rejects(load(), /launchd domain gui\/501 does not exist: .*logged in.*sudo tunneld install/s);
      assert.equal(await unload(), false, 'and has nothing to take away');
    });
  }

  test('unloads what is loaded, and goes on when it is not, says that it goes, or says 5', async (t) => {
    const { mac, service, deps, load, unload } = await start(t);
    const giveUp = () => unloadService(service, { ...deps, clock: hasty });
    assert.equal(await unload(), false);
    await load();
    mac.set('going', '0.5');
    assert.equal(await unload(), true);
    assert.equal(mac.get('service'), null);
    await load();
    mac.set('fail-bootout', '36');
    await assert.rejects(giveUp(), /still lists/);
    mac.set('fail-bootout', '5');
    await assert.rejects(giveUp(), /still lists/);
    assert.equal(await unload(), true);
    mac.set('fail-bootout', '5');
    assert.equal(await unload(), false);
  });

  test('loads by the rescuer when the installer has ended without it, and does nothing when it was stopped', async (t) => {
    const { mac, service, deps, load, running } = await start(t);
    await load();
    const old = await running();
    mac.set('going', '3');
    assert.equal((await deps.launchctl('bootout', service.target)).code, 0);
    mac.set(`disabled-${LABEL}`, '');
    mac.set('calls', '');
    // Waits of a second are over at once: an installer may take any time.
    writeFileSync(join(mac.bin, 'sleep'), '#!/bin/sh\n[ "$1" = 1 ] || exec /bin/sleep "$@"\n', { mode: 0o755 });
    const stopped = await startInstaller(t, service, mac, '.stop()');
    stopped.kill('SIGKILL');
    const installer = await startInstaller(t, service, mac, '');
    await wait(1500);
    assert.deepEqual(mac.calls(), [''], 'as long as the installer lives it only waits');
    installer.kill('SIGKILL');
    await until(() => mac.get('pid') !== null && mac.get('pid') !== old, { what: 'the new one' });
    await until(() => verbs(mac).at(-1) === 'kickstart', { what: 'its last call' });
  });

  test('takes what is loaded after a failed bootstrap for the new one', async (t) => {
    const { service, deps } = await start(t);
    const asked: string[] = [];
    const launchctl: Launchctl = (verb = '') => {
      asked.push(verb);
      const code = verb === 'bootstrap' ? 5 : verb === 'bootout' ? 3 : asked.includes('bootstrap') ? 0 : 113;
      return Promise.resolve({ code: verb === 'enable' ? 0 : code, text: '' });
    };
    await loadService(service, false, { ...deps, launchctl });
    assert.deepEqual(
      asked.filter((verb) => verb !== 'print'),
      LOADING,
    );
  });

  test('takes a service for disabled when launchd does not know it, and reports what it refuses', async (t) => {
    const { service } = await start(t);
    const answers = (code: number) => () => Promise.resolve({ code, text: 'words' });
    await disableService(service, answers(113));
    await assert.rejects(disableService(service, answers(1)), /launchctl disable failed with 1: words/);
  });

  test('reads the number in the words when an exit code may not hold it', async (t) => {
    const dir = await tempDir(t);
    const script = '#!/bin/sh\necho "Bootstrap failed: 513: something new" >&2\nexit 1\n';
    writeFileSync(join(dir, 'launchctl'), script, { mode: 0o755 });
    const answer = await systemLaunchctl({ PATH: dir })('bootstrap', 'system', '/x');
    assert.deepEqual(answer, { code: 513, text: 'Bootstrap failed: 513: something new' });
  });

  test('fails with a message when there is no launchctl', async (t) => {
    const { mac } = await start(t);
    await assert.rejects(
      systemLaunchctl({ ...mac.env, PATH: '/nowhere' })('print', 'x'),
      /launchctl print x: .*ENOENT/,
    );
  });
});
