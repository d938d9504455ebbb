import assert from 'node:assert/strict';
import { chmodSync, chownSync, linkSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { stepsFromStatus } from '../../src/doctor/steps-from-status.ts';
import { checkDevice } from '../../src/doctor/check-device.ts';
import { checkTunnel } from '../../src/doctor/check-tunnel.ts';
import { NO_FACTS } from '../../src/doctor/source-port.ts';
import type { Step } from '../../src/doctor/check.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import type { TunnelStatus } from '../../src/status/document.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import { startEcho } from '../support/echo.ts';
import { startSshd } from '../support/sshd.ts';
import { quietDevice, specFor } from '../support/tunnel.ts';
import { freePort, tempDir } from '../support/until.ts';

const NOW = Date.UTC(2030, 1, 2);
const UNIT = 'LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nWatchdogUSec=1min\n';

for (const { name, unit, daemon, wall, expected, line = '2030-01-01T00:00:00+0000' } of [
  { name: 'a service that runs', unit: UNIT, daemon: '1.2.3', wall: NOW, expected: ['ok', 'ok', 'ok', 'ok'] },
  {
    name: 'a service that reads its configuration anew',
    unit: UNIT.replace('=active', '=reloading'),
    daemon: '1.2.3',
    wall: NOW,
    expected: ['ok', 'ok', 'ok', 'ok'],
  },
  {
    name: 'a service that does not',
    unit: UNIT.replace('=active', '=failed'),
    daemon: null,
    wall: NOW,
    expected: ['ok', 'warn', 'ok', 'ok'],
  },
  {
    name: 'one that is not enabled',
    unit: UNIT.replace('enabled', 'disabled'),
    daemon: '1',
    wall: NOW,
    expected: ['ok', 'warn', 'ok', 'ok'],
  },
  {
    name: 'one without a watchdog',
    unit: UNIT.replace('1min', '0'),
    daemon: '1',
    wall: NOW,
    expected: ['ok', 'ok', 'warn', 'ok'],
  },
  {
    name: 'one that does not run, and has run',
    unit: UNIT.replace('=active', '=inactive').replace('1min', 'infinity'),
    daemon: null,
    wall: NOW,
    expected: ['ok', 'warn', 'skip', 'ok'],
  },
  {
    name: 'one that never ran',
    unit: UNIT.replace('=active', '=inactive').replace('1min', 'infinity'),
    daemon: null,
    wall: NOW,
    expected: ['ok', 'warn', 'skip', 'skip'],
    line: null,
  },
  { name: 'no unit', unit: 'LoadState=not-found\n', daemon: null, wall: NOW, expected: ['ok', 'warn', 'skip', 'skip'] },
  { name: 'no systemd, but a daemon', unit: null, daemon: '1', wall: NOW, expected: ['ok', 'ok', 'skip', 'skip'] },
  {
    name: 'a journal that this user may not read',
    unit: UNIT,
    daemon: '1',
    wall: NOW,
    expected: ['ok', 'ok', 'ok', 'warn'],
    line: null,
  },
  { name: 'a clock in the past', unit: UNIT, daemon: '1', wall: 0, expected: ['warn', 'ok', 'ok', 'ok'] },
] satisfies {
  name: string;
  unit: string | null;
  daemon: string | null;
  wall: number;
  expected: string[];
  line?: string | null;
}[]) {
  test(`reports on the device: ${name}`, async (t) => {
    const steps: Step[] = [];
    await checkDevice([], {
      wall: () => wall,
      stateDirectory: await tempDir(t),
      configFile: '/nowhere',
      fix: false,
      installed: false,
      account: null,
      unit: () => Promise.resolve(unit),
      lastLine: () => Promise.resolve(line),
      daemon,
      nativeCryptoProblem: null,
      onStep: (step) => steps.push(step),
    });
    const of = (wanted: Step['step']) => steps.find(({ step }) => step === wanted);
    const looked = (['clock', 'service manager', 'watchdog', 'journal'] as const).map((step) => of(step));
    assert.deepEqual(
      looked.map((step) => step?.result),
      expected,
    );
    for (const step of looked) assert.equal(step?.cure !== undefined, step?.result === 'warn', JSON.stringify(step));
  });
}

test('reports whether data is encrypted by the addon, which stops nothing', async (t) => {
  for (const [nativeCryptoProblem, result] of [
    [null, 'ok'],
    ['there is none for linux on riscv64', 'skip'],
  ] as const) {
    const steps: Step[] = [];
    await checkDevice([], {
      wall: () => Date.UTC(2026, 5, 1),
      stateDirectory: await tempDir(t),
      configFile: '/nowhere',
      fix: false,
      installed: false,
      account: null,
      unit: () => Promise.resolve(null),
      lastLine: () => Promise.resolve(null),
      daemon: null,
      nativeCryptoProblem,
      onStep: (step) => steps.push(step),
    });
    const step = steps.find(({ step: name }) => name === 'native crypto');
    assert.equal(step?.result, result);
    assert.match(
      step.seen,
      nativeCryptoProblem === null ? /by the addon$/ : /^there is none for linux on riscv64: Node\.js encrypts/,
    );
  }
});

test('reports when there is no ping, and when the server has only a part of a listener', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  // The other program has 127.0.0.1; sshd says that it listens, and does so on ::1.
  const occupant = createServer((socket) => socket.on('error', () => {}).end('somebody else\n'));
  await new Promise<void>((resolve) => occupant.listen(port, '127.0.0.1', resolve));
  t.after(() => occupant.close());
  const steps: Step[] = [];
  await checkTunnel(
    specFor(sshd, [[port, echo.port]]),
    {
      clock: systemClock,
      log: createLogger('fatal', () => {}),
      identities: createIdentityCache(),
      device: quietDevice,
      ping: () => Promise.resolve(false),
      fromDaemon: null,
      sourcePort: NO_FACTS,
      onStep: (step) => steps.push(step),
    },
    new AbortController().signal,
  );
  assert.equal(steps.find(({ step }) => step === 'ICMP')?.result, 'warn');
  // Without ::1 the server refuses by itself.
  const trip = steps.find(({ step, result }) => (step === 'round trip' || step === 'forward') && result === 'fail');
  assert.match(trip?.seen ?? '', /another program listens there: it says somebody else/);
  assert.match(trip?.cure ?? '', /port/);
});

test('reports refused listeners, targets, and a dead connection that did not go when a daemon knows of them', () => {
  const status = {
    name: 'a',
    phase: 'up',
    health: 'degraded',
    since: '',
    server: 'me@h:22',
    attempts: 0,
    sourcePort: 61000,
    failure: { code: 'forward-refused', message: 'm', hint: 'h', at: '' },
    forwards: [
      {
        kind: 'remote',
        listen: 'localhost:1',
        target: 'localhost:22',
        state: 'refused',
        refusal: 'in-use',
        verified: 'unknown',
      },
      {
        kind: 'remote',
        listen: 'localhost:2',
        target: 'localhost:22',
        state: 'up',
        verified: 'unknown',
        unverified: 'why',
      },
      { kind: 'local', listen: 'localhost:3', target: 'x:1', state: 'up', verified: 'yes' },
    ],
  } as unknown as TunnelStatus;
  const spec = { sourcePort: 'sticky', entry: { type: 'direct' }, kexAlgorithms: null } as const;
  const known = stepsFromStatus(status, spec, NO_FACTS);
  const results = known.map(([step, result]) => `${step}: ${result}`);
  assert.deepEqual(results.slice(4), [
    'forward: fail',
    'forward: ok',
    'round trip: warn',
    'target: ok',
    'forward: ok',
    'source port: warn',
  ]);
  assert.match(known.at(-1)?.[3] ?? '', /ClientAliveInterval/);
  const agreed = { keyExchange: 'mlkem768x25519-sha256', hostKeyAlgorithm: 'ssh-ed25519' };
  assert.deepEqual(stepsFromStatus({ ...status, ...agreed }, spec, NO_FACTS)[1], [
    'algorithms',
    'ok',
    'the daemon uses mlkem768x25519-sha256, ssh-ed25519',
  ]);
  const hostCertificate = { keyId: 'relay', authority: 'ssh-ed25519 SHA256:x', validUntil: '2026-02-01T00:00:00.000Z' };
  assert.deepEqual(stepsFromStatus({ ...status, hostCertificate }, spec, NO_FACTS)[2], [
    'host key',
    'ok',
    'the daemon has accepted its certificate "relay" of ssh-ed25519 SHA256:x, valid until 2026-02-01T00:00:00.000Z',
  ]);
  assert.deepEqual(stepsFromStatus({ ...status, phase: 'waiting' }, spec, NO_FACTS), [
    ['forward', 'fail', 'the daemon reports: m', 'h'],
  ]);
  const silent = stepsFromStatus({ ...status, silentSince: 'then' }, spec, NO_FACTS);
  assert.ok(
    silent.some(([step, result, seen]) => step === 'round trip' && result === 'warn' && /since then/.test(seen)),
  );
});

test('makes the folder of a state directory when --fix is given', async (t) => {
  const parent = join(await tempDir(t), 'p');
  mkdirSync(parent);
  const steps: Step[] = [];
  await checkDevice([], {
    wall: () => NOW,
    stateDirectory: join(parent, 'a/b'),
    configFile: '/nowhere',
    fix: true,
    installed: false,
    account: null,
    unit: () => Promise.resolve(null),
    lastLine: () => Promise.resolve(null),
    daemon: '1',
    nativeCryptoProblem: null,
    onStep: (step) => steps.push(step),
  });
  assert.match(steps.find(({ step }) => step === 'state directory')?.seen ?? '', /was created$/);
});

test('warns when a state directory is there but of no use, and --fix makes nothing up', async (t) => {
  const file = join(await tempDir(t), 'file');
  writeFileSync(file, '');
  for (const stateDirectory of [join(file, 'below'), file]) {
    const steps: Step[] = [];
    await checkDevice([], {
      wall: () => NOW,
      stateDirectory,
      configFile: '/nowhere',
      fix: true,
      unit: () => Promise.resolve(null),
      lastLine: () => Promise.resolve(null),
      installed: false,
      account: null,
      daemon: '1',
      nativeCryptoProblem: null,
      onStep: (step) => steps.push(step),
    });
    const { result, seen, cure } = steps.find(({ step }) => step === 'state directory')!;
    assert.equal(result, 'warn', stateDirectory);
    assert.match(seen, /: (ENOTDIR|EACCES|EROFS|cannot be entered); source ports are lost/);
    assert.match(cure ?? '', /Give it to the user that runs tunneld/);
  }
});

test('warns when others may write the configuration, and mends it when --fix is given', async (t) => {
  const dir = await tempDir(t);
  const configFile = join(dir, 'config.yaml');
  writeFileSync(configFile, '');
  chmodSync(configFile, 0o666);
  const examine = async (fix: boolean) => {
    const steps: Step[] = [];
    await checkDevice([], {
      wall: () => NOW,
      stateDirectory: dir,
      configFile,
      fix,
      installed: false,
      account: null,
      unit: () => Promise.resolve(null),
      lastLine: () => Promise.resolve(null),
      daemon: '1',
      nativeCryptoProblem: null,
      onStep: (step) => steps.push(step),
    });
    return steps.find(({ step }) => step === 'permissions');
  };
  const before = await examine(false);
  const cure = before?.cure?.replaceAll('sudo ', '');
  assert.deepEqual([before?.result, cure], ['warn', `chmod go-w ${configFile}   (or tunneld doctor --fix)`]);
  assert.equal((await examine(true))?.result, 'ok');
  assert.equal(statSync(configFile).mode & 0o777, 0o644);

  await t.test('leaves the directory alone when another user has put a link there for root', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root could be led astray');
    const victim = join(await tempDir(t), 'victim');
    writeFileSync(victim, '');
    chmodSync(victim, 0o666);
    chownSync(dir, 65_534, 65_534);
    rmSync(configFile);
    symlinkSync(victim, configFile);
    assert.equal((await examine(true))?.result, 'warn');
    rmSync(configFile);
    linkSync(victim, configFile);
    assert.equal((await examine(true))?.result, 'warn');
    assert.equal(statSync(victim).mode & 0o777, 0o666);
  });
});
