import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fingerprint, keyTypeOf } from '../../../src/connection/known-hosts/key-blob.ts';
import { matchesHost } from '../../../src/connection/known-hosts/match.ts';
import { parseKnownHosts } from '../../../src/connection/known-hosts/parse.ts';
import { checkHostKey, hostQuery } from '../../../src/connection/known-hosts/check-host-key.ts';
import { writeRsaKey } from '../../support/rsa-key.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { keyText, testKey } from '../../support/known-hosts-keys.ts';

const dir = mkdtempSync(join(tmpdir(), 'tunneld-known-hosts-'));
const file = join(dir, 'known_hosts');
after(() => rmSync(dir, { recursive: true, force: true }));

/** `LINE` or `LINE CA|REVOKED` for every line that OpenSSH finds for the name; -l makes it read the keys as ssh does. */
function foundByOpenSsh(name: string): readonly string[] {
  const { stdout, error } = spawnSync('ssh-keygen', ['-l', '-F', name, '-f', file], { encoding: 'utf8' });
  assert.equal(error, undefined);
  return [...stdout.matchAll(/^# Host .* found: line (\d+) (\w*)$/gm)].map(([, line, marker]) => `${line} ${marker}`);
}

function foundByUs(name: string): readonly string[] {
  const mark = { none: '', revoked: 'REVOKED', 'cert-authority': 'CA' };
  const { entries } = parseKnownHosts(readFileSync(file, 'utf8'), file);
  return entries
    .filter((entry) => matchesHost(entry.hosts, name))
    .map((entry) => `${entry.line} ${mark[entry.marker]}`);
}

describe('the real ssh-keygen', () => {
  test('agrees with -lf on fingerprints and types', () => {
    for (const [type, label] of [
      ['ed25519', 'ED25519'],
      ['rsa', 'RSA'],
      ['ecdsa', 'ECDSA'],
    ] as const) {
      const path = join(dir, type);
      if (type === 'rsa') writeRsaKey(path, 'c');
      else execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', 'c', '-f', path]);
      const [keyType, base64] = readFileSync(`${path}.pub`, 'utf8').split(' ');
      const key = Buffer.from(base64 ?? '', 'base64');
      const [, shown] = execFileSync('ssh-keygen', ['-lf', path], { encoding: 'utf8' }).split(' ');
      assert.equal(fingerprint(key), shown, label);
      assert.equal(keyTypeOf(key), keyType, label);
    }
  });

  test('agrees with -F on the lines that it finds in generated files', () => {
    let found = 0;
    // As many lines in a file as a process of ssh-keygen for each name is worth.
    for (let seed = 1; seed <= 6; seed++) {
      const random = mulberry32(seed);
      writeFileSync(file, Array.from({ length: 200 }, () => randomLine(random)).join(''));
      for (const name of ['a', 'a.b', 'b.a.b', '[a]:2222', '[a.b]:2222', '2001:db8::1']) {
        const expected = foundByOpenSsh(name);
        assert.deepEqual(foundByUs(name), expected, `${name}, seed ${seed}:\n${readFileSync(file, 'utf8')}`);
        found += expected.length;
      }
    }
    assert.ok(found > 1000, `the generated files must have something to find, not ${found} lines`);
  });

  test('comes to the same verdict when -H has hashed the names', () => {
    const key = testKey('ssh-ed25519', 'server');
    const other = testKey('ssh-rsa', 'server');
    const plain = [
      `a,192.0.2.1,[a]:2222 ${keyText(key)} comment`,
      `b ${keyText(other)}`,
      `[b]:2222,2001:db8::1 ${keyText(key)}`,
      `*.c,!x.c ${keyText(key)}`,
      `@revoked d ${keyText(key)}`,
      `@cert-authority e ${keyText(key)}`,
      '',
    ].join('\n');
    writeFileSync(file, plain);
    execFileSync('ssh-keygen', ['-H', '-f', file], { stdio: 'ignore' });
    const hashed = readFileSync(file, 'utf8');
    assert.equal(hashed.match(/^\|1\|/gm)?.length, 6);

    const verdicts = (text: string) => {
      const { entries, problems } = parseKnownHosts(text, file);
      assert.deepEqual(problems, []);
      return ['a', 'b', 'x.c', 'y.c', 'd', 'e', '192.0.2.1', '2001:db8::1'].flatMap((host) =>
        [22, 2222, 2223].map(
          (port) => `${host} ${port} ${checkHostKey(entries, hostQuery(host, port, null), key).type}`,
        ),
      );
    };
    assert.deepEqual(verdicts(hashed), verdicts(plain));
    assert.equal(new Set(verdicts(hashed).map((line) => line.split(' ')[2])).size, 4);
  });
});

const KEYS = [testKey('ssh-ed25519', '1'), testKey('ssh-ed25519', '2'), testKey('ssh-rsa', '1')].map(keyText);
const NAMES = ['a', 'A', 'a.b', 'b.a.b', '[a]:2222', '[A.b]:2222', '[a]:22', '2001:db8::1', '2001:DB8::1', '', 'c'];
const PATTERNS = ['*', '?', '*.b', 'a*', '*.*', '?.?', '[*]:2222', '[a]:*', '[?.b]:222?', '2001:*', '**b', 'a?b'];
const BROKEN = [
  '',
  '!',
  'x',
  'ssh-rsa',
  '1024 35 1234',
  '# x',
  'ssh-ed25519 AAAA',
  'ssh-rsa !!!!',
  'no-such-type AAAA',
];

/** A line of known_hosts, often right and sometimes not. */
function randomLine(random: () => number): string {
  const pick = (from: readonly string[]) => from[Math.floor(random() * from.length)] ?? '';
  const chance = (probability: number) => random() < probability;
  const pattern = () => `${chance(0.15) ? '!' : ''}${pick(chance(0.5) ? NAMES : PATTERNS)}`;
  const hosts = chance(0.2)
    ? hashed(pick(NAMES))
    : Array.from({ length: 1 + Math.floor(random() * 3) }, pattern).join(',');
  // OpenSSH overlooks a line with a tab after the marker; we do not, so there is none here.
  const marker = chance(0.2) ? pick(['@revoked ', '@cert-authority  ', '@revoked @revoked ', '@other ', '@ ']) : '';
  const key = chance(0.15) ? pick(BROKEN) : damage(pick(KEYS), random).replace(' ', pick([' ', '\t', '  ']));
  const comment = pick(['', '', ' c', '\tc d', ' # c', '  ']);
  return `${pick(['', '', '', ' ', '\t', '#'])}${marker}${hosts}${pick([' ', '\t', ' \t '])}${key}${comment}${pick(['\n', '\r\n'])}`;
}

/** One line in ten has a key that is cut short. */
function damage(key: string, random: () => number): string {
  return random() < 0.1 ? key.slice(0, -Math.ceil(random() * 12)) : key;
}

/** The host field as ssh-keygen hashes it, with a few kinds made once, as each costs a process. */
function hashed(name: string): string {
  const known = hashes.get(name);
  if (known !== undefined) return known;
  const path = join(dir, 'hashing');
  writeFileSync(path, `${name === '' ? 'empty' : name} ${KEYS[0]}\n`);
  execFileSync('ssh-keygen', ['-H', '-f', path], { stdio: 'ignore' });
  const field = readFileSync(path, 'utf8').split(' ')[0] ?? '';
  hashes.set(name, field);
  return field;
}
const hashes = new Map<string, string>();

/** A small generator with a seed, so that a failure can be repeated. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('the real ssh judges a server as we do', () => {
  let sshd: TestSshd;
  before(async () => {
    sshd = await startSshd();
  });
  after(() => sshd.stop());

  const other = keyText(testKey('ssh-ed25519', 'other'));
  const otherType = keyText(testKey('ssh-rsa', 'other'));
  /** KEY is the server's key and PORT its port; the alias stands for the host of a server on port 22. */
  const cases: readonly [title: string, text: string, alias: string | null, verdict: string][] = [
    ['nothing known', '', 'h', 'unknown'],
    ['known', 'h KEY', 'h', 'known'],
    ['alias in capitals', 'h KEY', 'H', 'known'],
    ['another key', `h ${other}`, 'h', 'changed'],
    ['a key of another type', `h ${otherType}`, 'h', 'changed'],
    ['one of two', `h ${otherType}\nh KEY`, 'h', 'known'],
    ['revoked', 'h KEY\n@revoked * KEY', 'h', 'revoked'],
    ['revoked for another host', 'h KEY\n@revoked g KEY', 'h', 'known'],
    ['an authority is no host key', '@cert-authority h KEY', 'h', 'unknown'],
    ['an alias knows no port', '127.0.0.1 KEY\n[127.0.0.1]:PORT KEY', 'h', 'unknown'],
    ['known at the port', '[127.0.0.1]:PORT KEY', null, 'known'],
    ['known at another port', '[127.0.0.1]:22 KEY', null, 'unknown'],
    ['known without the port', '127.0.0.1 KEY', null, 'known'],
    ['another key without the port', `127.0.0.1 ${other}`, null, 'unknown'],
    ['another key at the port', `[127.0.0.1]:PORT ${other}\n127.0.0.1 KEY`, null, 'changed'],
    ['a carriage return and tabs', '127.0.0.1\tKEY\r', null, 'known'],
  ];
  for (const [title, template, alias, verdict] of cases) {
    test(`judges as ssh does: ${title}`, async () => {
      const serverKey = sshd.hostKeys[0]?.publicKey ?? '';
      const text = `${template.replaceAll('KEY', serverKey).replaceAll('PORT', String(sshd.port))}\n`;
      const { entries, problems } = parseKnownHosts(text, file);
      assert.deepEqual(problems, []);
      const key = Buffer.from(serverKey.split(' ')[1] ?? '', 'base64');
      assert.equal(checkHostKey(entries, hostQuery('127.0.0.1', sshd.port, alias), key).type, verdict);

      writeFileSync(file, text);
      assert.equal(await verdictOfSsh(sshd, alias), verdict);
    });
  }
});

/** What ssh says of the server when it is strict about host keys and reads our file alone. */
function verdictOfSsh(sshd: TestSshd, alias: string | null): Promise<string> {
  const options = ['BatchMode=yes', 'StrictHostKeyChecking=yes', 'GlobalKnownHostsFile=none', 'IdentitiesOnly=yes'];
  options.push(`UserKnownHostsFile=${file}`, 'UpdateHostKeys=no', ...(alias === null ? [] : [`HostKeyAlias=${alias}`]));
  const flags = options.flatMap((option) => ['-o', option]);
  const args = [
    '-F',
    'none',
    '-T',
    '-p',
    `${sshd.port}`,
    '-l',
    sshd.user,
    '-i',
    sshd.clientKey,
    ...flags,
    '127.0.0.1',
    'exit 0',
  ];
  return new Promise((resolve) => {
    execFile('ssh', args, { timeout: 120_000 }, (error, _stdout, stderr) => {
      if (error === null) resolve('known');
      else if (/was revoked and you have requested strict/.test(stderr)) resolve('revoked');
      else if (/has changed and you have requested strict/.test(stderr)) resolve('changed');
      else if (/host key is known for .* requested strict/.test(stderr)) resolve('unknown');
      else resolve(`neither: ${stderr}`);
    });
  });
}
