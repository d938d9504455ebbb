import assert from 'node:assert/strict';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ask } from '../../../src/control/client.ts';
import { createCandidate } from '../../../src/config/candidate.ts';
import type { StatusDocument } from '../../../src/status/document.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, until } from '../../support/until.ts';

test('runs the last trial when there are two at once, and brings back what ran before both when it ends', async (t) => {
  const { daemon, ports, yaml, rest, isUp } = await start(t);
  const names = [await createCandidate(daemon.configFile, `${yaml('one', ports[1])}${rest}`, null), 'two'] as const;
  writeFileSync(`${daemon.configFile}.two.candidate`, `${yaml('two', ports[1])}${rest}`);
  const answers = await Promise.all([
    ask([daemon.socket], { command: 'apply', candidate: names[0], withinMs: 60_000 }),
    ask([daemon.socket], { command: 'apply', candidate: names[1], withinMs: 6000 }),
  ]);
  assert.deepEqual(
    answers.map(({ ok }) => ok),
    [true, true],
  );
  const { trial, tunnels } = await daemon.untilStatus(() => true, 'an answer');
  assert.deepEqual([trial?.candidate, tunnels.map(({ name }) => name)], ['two', ['two']]);
  const back = await daemon.untilStatus(
    (status) => status.tunnels.every(({ name }) => name === 'a') && isUp(status),
    'the tunnel that ran before both',
  );
  assert.equal(back.trial, undefined);
});

test('ends the trial when a reload comes in the middle of an apply, however they meet', async (t) => {
  const { daemon, ports, yaml, rest } = await start(t);
  const name = await createCandidate(daemon.configFile, `${yaml('one', ports[1])}${rest}`, null);
  await Promise.all([
    ask([daemon.socket], { command: 'apply', candidate: name, withinMs: 60_000 }),
    ask([daemon.socket], { command: 'reload' }),
  ]);
  const { trial, tunnels } = await daemon.status();
  assert.deepEqual([trial, tunnels.map((tunnel) => tunnel.name)], [undefined, ['a']]);
});

test('keeps nothing while it is on trial, also when all of it has worked before', async (t) => {
  const { daemon, ports, yaml, rest } = await start(t);
  const both = `${yaml('a', ports[0])}${yaml('b', ports[1]).replace('tunnels:\n', '')}`;
  daemon.writeConfig(both);
  await daemon.command('reload');
  await daemon.untilStatus(({ tunnels }) => tunnels.every(({ phase }) => phase === 'up'), 'both');
  const kept = join(daemon.dir, 'last-good.yaml');
  // It is written once all are up.
  const before = await until(() => /^ {2}b:$/m.test(readFileSync(kept, 'utf8')) && readFileSync(kept, 'utf8'), {
    what: 'b kept',
  });
  const name = await createCandidate(daemon.configFile, `${yaml('a', ports[0])}${rest}`, null);
  await ask([daemon.socket], { command: 'apply', candidate: name, withinMs: 60_000 });
  assert.equal(readFileSync(kept, 'utf8'), before);
  assert.deepEqual((await daemon.status()).trial?.waitingFor, []);
});

test('names no path when somebody asks who may only use the socket', async (t) => {
  const { daemon, yaml, ports, rest } = await start(t);
  const mine = join(daemon.dir, 'mine');
  writeFileSync(`${mine}.candidate`, `${yaml('mine', ports[1])}${rest}`);
  for (const candidate of ['x/../../mine', '../mine', mine, '', 'A', 'a.b', 'a'.repeat(41)]) {
    const answer = await ask([daemon.socket], { command: 'apply', candidate, withinMs: 60_000 });
    assert.equal(answer.ok ? 'ok' : answer.code, 'bad-request', candidate);
  }
  assert.equal((await daemon.status()).trial, undefined);
});

test('keeps only what its file says when it is confirmed: who may not write that, cannot confirm', async (t) => {
  const { daemon, ports, yaml, rest } = await start(t);
  const before = readFileSync(daemon.configFile, 'utf8');
  const next = join(daemon.dir, 'next.yaml');
  const sshConfig = join(daemon.dir, 'ssh_config');
  writeFileSync(sshConfig, 'ServerAliveInterval 20\n');
  writeFileSync(next, `${yaml('a', ports[1])}    sshConfig: ${sshConfig}\n${rest}`);
  assert.equal((await daemon.command('apply', '--confirm', '1h', next)).code, 0);
  const answer = await ask([daemon.socket], { command: 'confirm' });
  assert.match(answer.ok ? '' : answer.message, /config\.yaml is not what is on trial/);

  // A file that it includes has changed since, so that it means something else.
  writeFileSync(sshConfig, 'ServerAliveInterval 21\n');
  const confirmed = await daemon.command('confirm');
  assert.equal(confirmed.code, 1);
  assert.match(confirmed.stderr, /is not what is on trial/);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), before, 'the file is as it was');
  writeFileSync(sshConfig, 'ServerAliveInterval 20\n');
  assert.equal((await daemon.command('confirm')).code, 0);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), readFileSync(next, 'utf8'));
});

test('does not confirm a candidate when it was changed meanwhile, and writes nothing through a link', async (t) => {
  const { daemon, ports, yaml, rest } = await start(t);
  const before = readFileSync(daemon.configFile, 'utf8');
  const next = join(daemon.dir, 'next.yaml');
  writeFileSync(next, `${yaml('a', ports[1])}${rest}`);
  assert.equal((await daemon.command('apply', '--confirm', '1h', next)).code, 0);
  const candidate = `${daemon.configFile}.${(await daemon.status()).trial?.candidate}.candidate`;
  const text = readFileSync(candidate, 'utf8');
  writeFileSync(candidate, `${text}# and something else\n`);
  const { code, stderr } = await daemon.command('confirm');
  assert.equal(code, 1);
  assert.match(stderr, /not confirmed: .*was changed since/);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), before);
  assert.notEqual((await daemon.status()).trial, undefined);

  writeFileSync(candidate, text);
  const victim = join(daemon.dir, 'victim');
  writeFileSync(victim, 'untouched');
  symlinkSync(victim, `${daemon.configFile}.previous`);
  assert.equal((await daemon.command('confirm')).code, 0);
  assert.equal(readFileSync(victim, 'utf8'), 'untouched');
  assert.equal(readFileSync(`${daemon.configFile}.previous`, 'utf8'), before);
});

async function start(t: TestContext) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const ports = [await freePort(), await freePort()] as const;
  const yaml = (name: string, port: number) => `tunnels:\n${tunnelYaml(sshd, name, `${port}:127.0.0.1:${echo.port}`)}`;
  const daemon = await startDaemonProcess(t, yaml('a', ports[0]));
  const isUp = ({ tunnels }: StatusDocument) => tunnels.length > 0 && tunnels.every(({ phase }) => phase === 'up');
  await daemon.untilStatus(isUp, 'the tunnel');
  const rest = readFileSync(daemon.configFile, 'utf8').slice(yaml('a', ports[0]).length);
  return { daemon, ports, yaml, rest, isUp };
}
