import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseAccount, readAccount } from '../../../src/install/launchd/account.ts';
import { fakeMac } from './mac.ts';

const root = { uid: 0, userName: 'root' };

test('runs a daemon as whoever called sudo, and never as root', () => {
  assert.equal(chooseAccount('install', 'daemon', { ...root, env: { SUDO_USER: 'me' } }), 'me');
  for (const env of [{}, { SUDO_USER: '' }, { SUDO_USER: 'root' }])
    assert.throws(
      () => chooseAccount('install', 'daemon', { ...root, env }),
      /run `sudo tunneld install` from the account/,
    );
  assert.throws(
    () => chooseAccount('install', 'daemon', { uid: 501, userName: 'me', env: { SUDO_USER: 'me' } }),
    /run this with sudo/,
  );
});

test('removes a daemon as root, whoever called sudo', () => {
  assert.equal(chooseAccount('uninstall', 'daemon', { ...root, env: {} }), 'root');
  assert.throws(
    () => chooseAccount('uninstall', 'daemon', { uid: 501, userName: 'me', env: {} }),
    /run this with sudo/,
  );
});

test('makes an agent for whoever calls, and refuses root', () => {
  assert.equal(chooseAccount('install', 'agent', { uid: 501, userName: 'me', env: {} }), 'me');
  assert.throws(() => chooseAccount('install', 'agent', { ...root, env: { SUDO_USER: 'me' } }), /without sudo/);
});

test('knows an account when the system does', async (t) => {
  const { env, home } = await fakeMac(t, 'Zoë & Co');
  assert.deepEqual(await readAccount('me', env), { name: 'me', uid: 501, group: 'staff', home });
  await assert.rejects(readAccount('nobody-here', env), /account "nobody-here" not found: .*no such user/s);
  for (const name of ['-P', '', 'a b', 'a;b', '../x']) await assert.rejects(readAccount(name, env), /is not the name/);
});
