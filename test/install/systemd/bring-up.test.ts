import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bringUp } from '../../../src/install/systemd/bring-up.ts';
import { UserError } from '../../../src/lib/user-error.ts';
import { systemManager, type UnitState } from '../../../src/install/systemd/manager.ts';
import type { Step } from '../../../src/install/steps/step.ts';

const BEFORE: UnitState = {
  load: 'loaded',
  fragment: '',
  dropIns: [],
  active: 'active',
  enabled: 'enabled',
  needsReload: false,
  pid: 1,
  exitStatus: 0,
  status: '',
};

/** What systemctl was told after a start that failed, and the error; `broken` fails likewise. */
async function afterFailure(before: UnitState, broken = 'start --now-or-never') {
  const told: string[] = [];
  const manager = systemManager(([program, ...args]) => {
    const words = args.join(' ');
    if (program === 'systemctl' && args[0] !== 'show') told.push(words);
    const ok = words !== 'start new' && words !== broken;
    return Promise.resolve({ code: ok ? 0 : 1, stdout: args[0] === 'show' ? 'ExecMainStatus=1\n' : '', stderr: '' });
  });
  const start: Step = { type: 'command', argv: ['systemctl', 'start', 'new'], why: '' };
  const error = await bringUp([], [start], before, manager, () => {}).then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof UserError);
  return { told: told.slice(1), error };
}

test('leaves the manager as it was when the service does not come up', async () => {
  const put = ['stop tunnel.service', 'daemon-reload', 'reset-failed tunnel.service'];
  const ran = await afterFailure(BEFORE);
  assert.deepEqual(ran.told, [...put, 'start tunnel.service']);
  assert.match(ran.error.message, /all changes were reverted, and the previous service runs again$/);
  assert.doesNotMatch(ran.error.message, /its log/, 'it logged nothing');
  const between = await afterFailure({ ...BEFORE, active: 'activating' });
  assert.deepEqual(between.told, [...put, 'start --no-block tunnel.service'], 'it may never get ready');
  const none = await afterFailure({ ...BEFORE, active: 'inactive', enabled: '' });
  assert.deepEqual(none.told, [put[0], 'disable tunnel.service', ...put.slice(1)]);
  assert.match(none.error.message, /all changes were reverted$/);
});

test('reports a file when it cannot be put back', async () => {
  const { error } = await afterFailure(BEFORE, 'start tunnel.service');
  assert.match(
    error.message,
    /not all changes could be reverted: `systemctl start tunnel\.service` failed \(exit code 1\)$/,
  );
});
