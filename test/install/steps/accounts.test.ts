import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accountOf, groupNumber } from '../../../src/install/steps/accounts.ts';
import type { Runner } from '../../../src/install/steps/run-program.ts';

/** Programs of a Mac; what it has not is as the shell says it. */
const mac: Runner = (argv) => {
  const line = argv.join(' ');
  const answer = new Map([
    ['id -P me', 'me:********:501:20::0:0:Me, Myself:/Users/me:/bin/zsh\n'],
    ['dscacheutil -q group -a name wheel', 'name: wheel\npassword: *\ngid: 0\nusers: root \n\n'],
    ['dscacheutil -q group -a name nosuch', ''],
  ]).get(line);
  const code = answer !== undefined ? 0 : argv[0] === 'getent' ? 127 : 1;
  return Promise.resolve({ code, stdout: answer ?? '', stderr: '' });
};

test('finds accounts and groups on a Mac, which has no getent', async () => {
  const me = { name: 'me', uid: 501, gid: 20, comment: 'Me, Myself', home: '/Users/me' };
  assert.deepEqual(await accountOf(mac, 'me'), me);
  assert.equal(await accountOf(mac, 'nosuch'), null);
  assert.deepEqual([await groupNumber(mac, 'wheel'), await groupNumber(mac, 'nosuch')], [0, null]);
});
