import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseKnownHosts } from '../../../src/connection/known-hosts/parse.ts';
import { startTunnel } from '../../support/tunnel.ts';
import { until } from '../../support/until.ts';
import { serverAndSpec } from '../../support/host-key-fixture.ts';

const utf16 = (text: string) => Buffer.from(text, 'utf16le');
const WIDE = 'the line is UTF-16 text, or no text at all: save the file as UTF-8; the line is ignored';

/** How known_hosts files are damaged, and the lines that are then told. */
const DAMAGES: Readonly<Record<string, readonly [(line: string) => Buffer, readonly string[]]>> = {
  'saved as UTF-16 with a mark': [(line) => utf16(`\ufeff# mine\r\n${line}\r\n`), [`1: ${WIDE}`, `2: ${WIDE}`]],
  'saved as UTF-16 without one': [(line) => utf16(`${line}\n`), [`1: ${WIDE}`]],
  'saved as UTF-16 the other way round': [(line) => utf16(`${line}\n`).swap16(), [`1: ${WIDE}`]],
  'made longer by PowerShell': [
    (line) => Buffer.concat([Buffer.from('other ssh-ed25519 A\n'), utf16(`\n${line}\n`)]),
    ['1: the key is damaged or truncated; the line is ignored', `3: ${WIDE}`],
  ],
  'wrapped by an editor': [
    (line) => Buffer.from(`${line.slice(0, 60)}\n${line.slice(60)}\n`),
    [
      '1: the key is damaged or truncated; the line is ignored',
      '2: the line is truncated (it should have hosts, key type, key); the line is ignored',
    ],
  ],
};

for (const [how, [damage, expected]] of Object.entries(DAMAGES)) {
  test(`reports a known_hosts file ${how} line by line, once`, async (t) => {
    const { spec, files } = await serverAndSpec(t, '[127.0.0.1]:PORT KEY\n');
    writeFileSync(files.user, damage(readFileSync(files.user, 'utf8').trim()));
    const tunnel = startTunnel(t, spec);
    const { failure } = await tunnel.untilFailure('host-key-unknown');
    for (const line of expected) assert.ok(failure?.message.includes(`${files.user}:${line}`), failure?.message);
    tunnel.retryNow();
    await until(() => tunnel.phases.filter((phase) => phase === 'blocked').length === 2, { what: 'a second try' });
    const warned = tunnel.lines
      .filter(({ level, msg }) => level === 40 && String(msg).startsWith('known_hosts: '))
      .map(({ msg }) => String(msg));
    assert.deepEqual(
      warned,
      expected.map((line) => `known_hosts: ${files.user}:${line}`),
    );
  });
}

test('reports no unread lines when the host is found, and reports them when a new key is accepted', async (t) => {
  const { spec, files } = await serverAndSpec(t, 'nonsense\n[127.0.0.1]:PORT KEY\n');
  const known = startTunnel(t, spec);
  await known.untilPhase('up');
  await known.stop();
  const warned = ({ lines }: typeof known) =>
    lines.some(({ msg }) => String(msg).includes(`known_hosts: ${files.user}:1: `));
  assert.equal(warned(known), false);
  writeFileSync(files.user, 'nonsense\n');
  const accepting = startTunnel(t, { ...spec, strictHostKeyChecking: 'accept-new' });
  await accepting.untilPhase('up');
  assert.equal(warned(accepting), true);
});

test('takes a NUL for no damage when it stands in what is read as before, or in a comment', () => {
  assert.deepEqual(parseKnownHosts('# \0 a\0\n\0\n\0\r\n\0#\0 \0\n', 'f').problems, []);
});
