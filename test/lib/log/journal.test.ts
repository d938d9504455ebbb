import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startDatagramReceiver, withInheritedSocket } from '../../support/datagrams.ts';
import { separately } from '../../support/separately.ts';
import { tempDir, until } from '../../support/until.ts';

const output = separately('src/lib/log/output.ts');
const cwd = fileURLToPath(new URL('../../..', import.meta.url));

/** A process whose standard error leads to a journal, and which has journald's socket; it writes the lines of its standard input. */
async function journaled(t: TestContext) {
  const dir = await tempDir(t);
  const journald = await startDatagramReceiver(join(dir, 'socket'));
  t.after(() => journald.close());
  const stream = join(dir, 'stream');
  writeFileSync(stream, '');
  const { dev, ino } = statSync(stream);
  const program = `
    import { createInterface } from 'node:readline';
    import { stderrOutput } from ${JSON.stringify(output.url)};
    const { write, written } = stderrOutput(process.stderr, process.env);
    createInterface({ input: process.stdin })
      .on('line', (line) => { write(line + '\\n'); console.log('alive'); })
      .on('close', async () => { await written(); console.log('written'); });
  `;
  const node = [...output.node, '--input-type=module', '-e', program];
  const child = spawn('perl', withInheritedSocket(journald.path, node, 'journal'), {
    cwd,
    env: { ...process.env, JOURNAL_STREAM: `${dev}:${ino}` },
    stdio: ['pipe', 'pipe', openSync(stream, 'a')],
  });
  t.after(() => child.kill('SIGKILL'));
  const said: string[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => said.push(line));
  return {
    journald,
    said,
    text: () => readFileSync(stream, 'utf8'),
    write: (record: object) => child.stdin!.write(`${JSON.stringify(record)}\n`),
    end: async () => {
      child.stdin!.end();
      await until(() => said.includes('written'), { what: 'the last line' });
    },
  };
}

test('writes a message for people, a priority, and each value as a field', async (t) => {
  const { journald, write, text, end } = await journaled(t);
  const error = { type: 'Error', message: 'no\nway' };
  write({ level: 40, time: 1, tunnel: 'backup', code: 'dns-failed', rttMs: 3, message: 'x', error, msg: 'two\nlines' });
  write({ level: 30, time: 2, msg: 'tunneld started', 'a=b\nTUNNEL': 'forged', _PID: 1, codeFile: 'x', priority: 0 });
  await end();
  const line = '[backup] two\\x0alines code=dns-failed rttMs=3 message=x error={"type":"Error","message":"no\\nway"}';
  assert.deepEqual(await journald.waitFor(2), [
    [
      `MESSAGE=${line}`,
      'PRIORITY=4',
      'SYSLOG_IDENTIFIER=tunneld',
      'TUNNEL=backup',
      'CODE=dns-failed',
      'RTT_MS=3',
      'ERROR={"type":"Error","message":"no\\nway"}',
      '',
    ].join('\n'),
    'MESSAGE=tunneld started a=b\\x0aTUNNEL=forged _PID=1 codeFile=x priority=0\nPRIORITY=6\nSYSLOG_IDENTIFIER=tunneld\n',
  ]);
  assert.equal(text(), '');
});

test('loses lines at most, and counts them, when journald does not read', async (t) => {
  const { journald, write, said, end } = await journaled(t);
  process.kill(journald.pid, 'SIGSTOP');
  for (let line = 0; line < 3000; line++) write({ level: 30, msg: `line ${line}` });
  await until(() => said.length === 3000, { what: 'the process to go on' });
  process.kill(journald.pid, 'SIGCONT');
  await end();
  const seen = () => journald.messages().map((entry) => /MESSAGE=(.*)/.exec(entry)?.[1] ?? '');
  await until(() => seen().at(-1) === 'line 2999', { what: 'the newest line' });
  const lost = seen().flatMap((message) => /lost=(\d+)/.exec(message)?.slice(1) ?? []);
  const lines = seen().filter((message) => message.startsWith('line '));
  assert.equal(lines.length + lost.reduce((sum, count) => sum + Number(count), 0), 3000);
});

test('writes as text what the socket does not take', async (t) => {
  const { journald, write, said, text, end } = await journaled(t);
  write({ level: 30, msg: 'x'.repeat(250_000) });
  write({ level: 30, msg: 'small' });
  await journald.waitFor(1);
  assert.match(text(), /^<6>x{250000}\n$/);
  await journald.close();
  write({ level: 50, tunnel: 'backup', msg: 'it is gone' });
  write({ level: 30, msg: 'for good' });
  await until(() => said.length === 4, { what: 'the lines' });
  await end();
  assert.match(text(), /\n<3>\[backup\] it is gone\n<6>for good\n$/);
});
