import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { PROGRAM } from '../support/tunneld.ts';
import { until } from '../support/until.ts';

test('proves the round trip, heals when it is cut, stays, and leaves nothing behind', async (t) => {
  const demo = spawn(process.execPath, [...PROGRAM, 'demo'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<number | null>((resolve) => demo.once('exit', resolve));
  t.after(async () => {
    demo.kill('SIGINT');
    await exited;
  });
  let text = '';
  demo.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await until(() => text.includes('Ctrl-C ends the demo'), {
    what: () => `the end of the demo: ${text}`,
  });
  assert.match(text, /remoteForward: 127\.0\.0\.1:\d+:127\.0\.0\.1:\d+/);
  assert.match(text, /"hello from behind the router"/);
  assert.match(text, /Healed: \d+\.\d\d s after the cut/);
  const url = /curl (http:\S+)/.exec(text)?.[1] ?? '';
  assert.equal(await fetchText(url), 'hello from behind the router\n', 'the printed curl line works');
  const directory = /tunneld-demo-\w+/.exec(text)?.[0] ?? '';
  assert.ok(readdirSync(tmpdir()).includes(directory));
  assert.equal(demo.exitCode, null, 'it stays up');
  const file = /\S+config\.yaml/.exec(text)?.[0] ?? '';
  const status = () => execFileSync(process.execPath, [...PROGRAM, 'status', '--config', file], { encoding: 'utf8' });
  await until(() => /^demo +up .* yes /m.test(status()), { what: status });
  demo.kill('SIGINT');
  assert.equal(await exited, 0);
  assert.ok(!readdirSync(tmpdir()).includes(directory));
});

function fetchText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve(body));
    }).on('error', reject);
  });
}
