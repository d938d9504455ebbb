import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { tooOld } from '../../src/lib/node-version.ts';

test('says so in one sentence when Node.js is too old', () => {
  for (const version of ['18.19.0', 'v18.20.4', '20.18.3', '19.9.0', '0.12.1'])
    assert.match(
      tooOld(version) ?? '',
      new RegExp(`^tunneld needs Node\\.js 20\\.19 or later, but this is ${version}: `),
    );
  for (const version of ['20.19.0', 'v20.19.1', '20.20.2', '22.0.0', '100.0.0']) assert.equal(tooOld(version), null);
});

test('asks for the version that the package asks for', () => {
  const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    engines: { node: string };
  };
  const least = `${engines.node.replace('>=', '')}.0`;
  assert.equal(tooOld(least), null);
});

test('checks before everything that an old Node.js may not understand', () => {
  const cli = readFileSync(new URL('../../src/cli.ts', import.meta.url), 'utf8');
  assert.deepEqual(
    [...cli.matchAll(/^import .* from '(.*)';$/gm)].map(([, from]) => from),
    ['./lib/debugger.ts', './lib/exit-code.ts', './lib/node-version.ts', './lib/stray-signals.ts'],
  );
});
