import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { startServerWorld } from '../../support/server-world.ts';
import { PROGRAM } from '../../support/tunneld.ts';
import { setUp, untilListening } from './fixture.ts';

const PAM = ['auth required pam_deny.so', 'account required pam_nologin.so', 'account required pam_unix.so'];

test("is explained by doctor when the server's PAM says why it refuses the account", async (t) => {
  const world = await startServerWorld(t, {
    config: 'UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n',
    prepare: `printf '%s\\n' ${PAM.map((line) => `'${line}'`).join(' ')} 'session required pam_permit.so' >/etc/pam.d/sshd`,
  });
  await untilListening(world);
  await setUp(world);
  const doctor = () =>
    world.run([process.execPath, ...PROGRAM, 'doctor', '--config', join(world.dir, 'config.yaml')]).stdout;
  for (const [refuse, says] of [
    [
      'chage -E 0 limited',
      /authentication: the server closed the connection; it says: Your account has expired; .+\n.*`sudo chage -l limited`/m,
    ],
    ['chage -E -1 limited; echo back at five >/etc/nologin', /; it says: back at five(?: \(\d+ ms\))?$/m],
  ] as const) {
    world.run(['sh', '-c', refuse]);
    assert.match(doctor(), says);
  }
  world.run(['rm', '/etc/nologin']);
  assert.match(doctor(), /^ok +backup: authentication /m);
});
