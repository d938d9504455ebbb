import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loginOf, PART_OF } from '../../../src/connection/shared/same-login.ts';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor } from '../../support/tunnel.ts';

test('takes logins for the same when all of the spec that a connection depends on is, and nothing else', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const spec = specFor(sshd, [[8080, 80]]);
  assert.deepEqual(
    Object.keys(PART_OF).toSorted(),
    Object.keys(spec).toSorted(),
    'a new key belongs to one of the two',
  );
  for (const key of Object.keys(PART_OF) as (keyof TunnelSpec)[]) {
    const changed = { ...spec, [key]: another(spec[key]) } as TunnelSpec;
    assert.equal(loginOf(changed) === loginOf(spec), PART_OF[key] === 'tunnel', key);
  }
  assert.equal(loginOf(specFor(sshd, [[8081, 81]], { name: 'other' })), loginOf(spec));
});

function another(value: unknown): unknown {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return value + 1;
  if (Array.isArray(value)) return [...value, 'another'];
  return value === null ? 'another' : null;
}
