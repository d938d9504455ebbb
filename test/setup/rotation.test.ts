import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { finishRotation, makeNextKey, rotationOf } from '../../src/setup/rotation.ts';
import { tempDir } from '../support/until.ts';

test('goes on with what was begun, and with nothing that was begun for another purpose', async (t) => {
  const dir = await tempDir(t);
  const path = (name: string) => join(dir, name);
  const tunnel = (key: string) => ({ name: 'relay', identityFiles: [path(key)] });
  const begun = await rotationOf(tunnel('relay.key'), '', 'key');
  assert.deepEqual([begun.phase, begun.next], ['begun', path('relay.2.key')]);
  await makeNextKey(begun, 'tunneld relay of pi');
  assert.deepEqual(await rotationOf(tunnel('relay.key'), '', 'key'), begun);
  // The server may let that key in as the user of before.
  assert.equal((await rotationOf(tunnel('relay.key'), '', 'identity')).next, path('relay.3.key'));

  const switched = await rotationOf(tunnel('relay.2.key'), '', 'key');
  assert.deepEqual([switched.phase, switched.old], ['switched', [path('relay.key')]]);
  const other = await rotationOf(tunnel('relay.2.key'), '', 'identity');
  assert.deepEqual([other.phase, other.next], ['begun', path('relay.3.key')]);
  await finishRotation(switched, async () => true);
  assert.deepEqual(readdirSync(dir).toSorted(), ['relay.2.key', 'relay.2.key.pub']);
});

test('removes the public half that a run left which was killed behind the private key, and forgets the rotation', async (t) => {
  const dir = await tempDir(t);
  const old = [join(dir, 'ours'), join(dir, 'of another')];
  for (const path of old) writeFileSync(`${path}.pub`, '');
  const record = join(dir, 'record');
  writeFileSync(record, '');
  const rotation = { next: join(dir, 'next'), old, phase: 'switched', record } as const;
  assert.deepEqual(await finishRotation(rotation, async (path) => path === old[0]), []);
  assert.deepEqual(readdirSync(dir), ['of another.pub']);
});
