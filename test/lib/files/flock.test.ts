import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { separately } from '../../support/separately.ts';
import { tempDir } from '../../support/until.ts';

test('says that the program is missing only where there is none, and otherwise why a lock cannot be had', async (t) => {
  const dir = await tempDir(t);
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  const { node, url } = separately('src/lib/files/flock.ts');
  const [program, ...flags] = node;
  const code = `
    const { openLocked } = await import(${JSON.stringify(url)});
    const locked = await openLocked(${JSON.stringify(join(dir, 'lock'))}).catch((error) => error.message);
    process.stdout.write(typeof locked === 'string' ? locked : 'locked');`;
  const outcome = () =>
    execFileSync(program!, [...flags, '--input-type=module', '-e', code], {
      env: { ...process.env, PATH: bin },
      encoding: 'utf8',
    });
  assert.equal(outcome(), 'missing');
  for (const [script, expected] of [
    ['exit 0', 'locked'],
    ['exit 1', 'held'],
    ['exit 71', 'flock(1) cannot lock it (exit code 71)'],
    ['kill -9 $$', 'flock(1) cannot lock it (SIGKILL)'],
  ] as const) {
    writeFileSync(join(bin, 'flock'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    assert.equal(outcome(), expected, script);
  }
});
