import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { ask } from '../../src/control/client.ts';
import { createRetries } from '../../src/daemon/retries.ts';
import { fakeClock } from '../support/clock.ts';
import { tunnelYaml } from '../support/daemon-config.ts';
import { startSshd } from '../support/sshd.ts';
import { startDaemonProcess } from '../support/tunneld.ts';
import { freePort, until } from '../support/until.ts';

test('makes no twenty logins when twenty retries and reloads come in a row', async (t) => {
  const sshd = await startSshd({ config: ['LogLevel VERBOSE'] });
  t.after(() => sshd.stop());
  writeFileSync(sshd.authorizedKeysFile, '');
  const daemon = await startDaemonProcess(t, `tunnels:\n${tunnelYaml(sshd, 'a', `${await freePort()}:localhost:22`)}`);
  const refused = () =>
    sshd
      .log()
      .split('\n')
      .filter((line) => /Connection from/.test(line)).length;
  await daemon.untilStatus(({ tunnels }) => tunnels[0]?.failure?.code === 'auth-rejected', 'the rejection');
  const before = refused();
  const answers = [];
  for (let tried = 0; tried < 20; tried++) {
    answers.push(await ask([daemon.socket], { command: 'retry', name: tried % 2 === 0 ? 'a' : null }));
    await ask([daemon.socket], { command: 'reload' });
    if (tried < 4)
      await until(async () => (await daemon.status()).tunnels[0]?.retryAt !== undefined, { what: 'a wait' });
  }
  assert.ok(refused() - before <= 3, `${refused() - before} logins`);
  const last = answers.at(-1);
  assert.ok(last?.ok === false && last.code === 'not-now');
  assert.match(
    last.message,
    /2 tries were made just now, and servers ban addresses that try more often: try again in \d+ s/,
  );
  rmSync(sshd.authorizedKeysFile);
});

test('gives tries back with time, for each tunnel by itself, and costs nothing when nothing waits', async () => {
  const clock = fakeClock();
  const waiting = new Set(['a', 'b']);
  const names = ['a', 'b', 'up'];
  const retries = createRetries(clock, {
    tunnels: () =>
      names.map((name) => ({ spec: { name }, state: { phase: waiting.has(name) ? 'blocked' : 'up' } })) as never,
    retry: (name) => [...waiting].filter((one) => one === name),
  });
  assert.deepEqual(retries.retryAsked(null), ['a', 'b']);
  assert.deepEqual(retries.retryAsked('a'), ['a']);
  assert.throws(() => retries.retryAsked('a'), /try again in 40 s/);
  assert.deepEqual(retries.retryAsked(null), ['b']);
  assert.throws(() => retries.retryAsked(null), /2 tries were made/);
  assert.deepEqual(retries.retry(null), []);
  assert.deepEqual(retries.retryAsked('up'), []);
  await clock.advance(40_000);
  assert.deepEqual(retries.retryAsked('a'), ['a']);
  waiting.delete('b');
  assert.deepEqual(retries.retryAsked('b'), []);
});
