import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import { escapeControls } from '../../../src/lib/text.ts';
import { matchesHost } from '../../../src/connection/known-hosts/match.ts';
import { parseKnownHosts } from '../../../src/connection/known-hosts/parse.ts';
import { keyText, sshStrings, testKey } from '../../support/known-hosts-keys.ts';

const key = testKey('ssh-ed25519', 'server');
const K = keyText(key);
const TYPE = 'ssh-ed25519';
const BASE64 = key.toString('base64');
const RSA = keyText(testKey('ssh-rsa', 'server'));

function hashedName(name: string, salt = Buffer.alloc(20, 7)): string {
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
}

describe('host fields', () => {
  const cases: readonly [field: string, matching: readonly string[], others: readonly string[]][] = [
    ['example.com', ['example.com'], ['xexample.com', 'example.comx', 'example', 'exampleXcom']],
    ['Example.COM', ['example.com'], []],
    ['a,b,,c', ['a', 'b', 'c'], ['d', 'a,b']],
    ['*', ['a', '[a]:2222', '2001:db8::1'], []],
    ['*.example.com', ['a.example.com', 'a.b.example.com', '.example.com'], ['example.com', 'a.example.com.evil']],
    ['a*c*e', ['ace', 'abcde', 'accee'], ['acd', 'bace', 'aec']],
    ['**a', ['a', 'ba'], ['', 'ab']],
    ['h?', ['h1', 'hx'], ['h', 'h12']],
    ['192.0.2.?', ['192.0.2.1'], ['192.0.2.10', '192.0.2.']],
    ['*.com,!evil.com', ['good.com'], ['evil.com']],
    ['!evil.com,*.com', ['good.com'], ['evil.com']],
    ['!EVIL.*,*.com', ['good.com'], ['evil.com']],
    ['!evil.com', [], ['good.com', 'evil.com']],
    ['[h]:2222', ['[h]:2222'], ['h', '[h]:22', '[h]:22222']],
    ['[*]:2222', ['[h]:2222'], ['[h]:2223', 'h']],
    ['[h]:*', ['[h]:2222', '[h]:1'], ['h']],
    ['h,[h]:2222,192.0.2.1', ['h', '[h]:2222', '192.0.2.1'], ['[192.0.2.1]:2222']],
    ['2001:db8::1', ['2001:db8::1'], ['2001:db8::2', '[2001:db8::1]:2222']],
    ['[2001:DB8::1]:2222', ['[2001:db8::1]:2222'], ['2001:db8::1']],
    ['a.c', ['a.c'], ['abc']],
    ['(a|b)+', ['(a|b)+'], ['a', 'aa']],
    ['\u212a', ['\u212a'], ['k']],
    [hashedName('h'), ['h'], ['g', '*', 'H']],
    [hashedName('[h]:2222'), ['[h]:2222'], ['h']],
    [hashedName('*'), ['*'], ['h']],
  ];
  for (const [field, matching, others] of cases) {
    test(field, () => {
      const { entries, problems } = parseKnownHosts(`${field} ${K}`, 'f');
      assert.deepEqual(problems, []);
      const [entry] = entries;
      assert.ok(entry);
      for (const name of matching) assert.ok(matchesHost(entry.hosts, name), `should match ${name}`);
      for (const name of others) assert.ok(!matchesHost(entry.hosts, name), `should not match ${name}`);
    });
  }
});

describe('lines that say something', () => {
  const cases: readonly [title: string, line: string, marker: string, keyType: string][] = [
    ['plain', `h ${K}`, 'none', 'ssh-ed25519'],
    ['a comment of several words', `h ${K} me@there # 1`, 'none', 'ssh-ed25519'],
    ['tabs and many blanks', `\t h\t \t${TYPE}\t\t${BASE64}\tcomment `, 'none', 'ssh-ed25519'],
    ['a carriage return', `h ${K}\r`, 'none', 'ssh-ed25519'],
    ['a carriage return after a comment', `h ${K} comment\r`, 'none', 'ssh-ed25519'],
    ['what follows a NUL', `h ${K} c\0omment`, 'none', 'ssh-ed25519'],
    ['a byte order mark', `\ufeffh ${K}`, 'none', 'ssh-ed25519'],
    ['revoked', `@revoked h ${K}`, 'revoked', 'ssh-ed25519'],
    ['revoked, tab', `@revoked\th ${K}`, 'revoked', 'ssh-ed25519'],
    ['revoked, indented', `  @revoked   h ${K}`, 'revoked', 'ssh-ed25519'],
    ['authority', `@cert-authority *.h ${RSA}`, 'cert-authority', 'ssh-rsa'],
    ['RSA under the name of a signature', `h rsa-sha2-512 ${RSA.split(' ')[1]}`, 'none', 'ssh-rsa'],
    ['a type of the future', `h ${keyText(sshStrings('ssh-new@example.com', 'x'))}`, 'none', 'ssh-new@example.com'],
    [
      'a certificate, which holds plain numbers too',
      `h ${keyText(Buffer.concat([sshStrings('ssh-ed25519-cert-v01@openssh.com', 'x'), Buffer.alloc(3)]))}`,
      'none',
      'ssh-ed25519-cert-v01@openssh.com',
    ],
  ];
  for (const [title, line, marker, keyType] of cases) {
    test(`reads a line: ${title}`, () => {
      const { entries, problems } = parseKnownHosts(`# first\n${line}\n`, 'some file');
      assert.deepEqual(problems, []);
      assert.equal(entries.length, 1);
      const [entry] = entries;
      assert.ok(entry);
      assert.deepEqual(
        { file: entry.file, line: entry.line, marker: entry.marker, keyType: entry.keyType },
        { file: 'some file', line: 2, marker, keyType },
      );
    });
  }

  test('decodes the blob of the key', () => {
    assert.deepEqual(parseKnownHosts(`h ${K}`, 'f').entries[0]?.key, key);
  });
});

test('ignores a line when it is a comment or blank', () => {
  const nothing = { entries: [], problems: [] };
  for (const text of ['', '\n', '\r\n', ' \t\n\n', '# c', '#', `\t # h ${K}`, `#h ${K}\r\n`, '\0']) {
    assert.deepEqual(parseKnownHosts(text, 'f'), nothing, JSON.stringify(text));
  }
});

describe('lines that make no sense are reported and hide no other', () => {
  const salt = Buffer.alloc(20).toString('base64');
  const truncated = testKey('ssh-ed25519', 'server').subarray(0, -1).toString('base64');
  const cases: readonly [title: string, line: string, message: RegExp][] = [
    ['one word', 'h', /the line is truncated/],
    ['no key', `h ${TYPE}`, /the line is truncated/],
    ['a comment too early', 'h # comment here', /damaged or truncated/],
    ['a marker alone', '@revoked', /the line is truncated/],
    ['a marker without a key', `@revoked h ${TYPE}`, /the line is truncated/],
    ['an unknown marker', `@trusted h ${K}`, /unknown marker @trusted/],
    ['a marker in capitals', `@REVOKED h ${K}`, /unknown marker/],
    ['two markers', `@revoked @cert-authority h ${K}`, /more than one marker/],
    ['SSH 1', 'h 1024 35 1234567890', /protocol 1/],
    ['no base64', `h ${TYPE} !!!!`, /damaged or truncated/],
    ['URL-safe base64', `h ${TYPE} ${BASE64.replace(/.$/, '_')}`, /damaged or truncated/],
    ['missing padding', `h ssh-rsa ${RSA.split(' ')[1]?.replace(/=+$/, '')}x`, /damaged or truncated/],
    ['a key cut short', `h ${TYPE} ${truncated}`, /damaged or truncated/],
    ['a type and nothing else', `h ${TYPE} ${sshStrings(TYPE).toString('base64')}`, /damaged or truncated/],
    ['another type', `h ssh-rsa ${BASE64}`, /says ssh-rsa but its key is of type ssh-ed25519/],
    ['a terminal sequence', `h \u001b[2J ${BASE64}`, /says \\x1b\[2J but/],
    ['an unknown hash', `|2|${salt}|${salt} ${K}`, /unknown kind/],
    ['a hash without a salt', `|1|${salt} ${K}`, /hashed host name is damaged/],
    ['a short salt', `|1|AAAA|${salt} ${K}`, /hashed host name is damaged/],
    ['two hashes', `${hashedName('h')},${hashedName('g')} ${K}`, /hashed host name is damaged/],
    ['a hash with a further part', `${hashedName('h')}|AAAA ${K}`, /hashed host name is damaged/],
    ['a pattern without end', `${'a'.repeat(1023)} ${K}`, /too long/],
  ];
  for (const [title, line, message] of cases) {
    test(`reports a line and reads the others: ${title}`, () => {
      const { entries, problems } = parseKnownHosts(`before ${K}\n${line}\nafter ${K}`, 'f');
      assert.deepEqual(
        entries.map((entry) => entry.line),
        [1, 3],
      );
      assert.equal(problems.length, 1);
      const [problem] = problems;
      assert.ok(problem);
      assert.equal(problem.file, 'f');
      assert.equal(problem.line, 2);
      assert.match(problem.message, message);
      assert.equal(escapeControls(problem.message), problem.message);
    });
  }
});

describe('survives hostile input', () => {
  test('reads a line when it is huge, and keeps its message short', () => {
    const { entries, problems } = parseKnownHosts(
      `h ${K} ${'c '.repeat(500_000)}\n@${'x'.repeat(1_000_000)} h ${K}`,
      'f',
    );
    assert.equal(entries.length, 1);
    assert.ok((problems[0]?.message.length ?? Infinity) < 200);
  });

  test('takes no exponential time when a pattern is full of wildcards', () => {
    const field = '*a'.repeat(500);
    const [entry] = parseKnownHosts(`${field} ${K}`, 'f').entries;
    assert.ok(entry);
    assert.ok(!matchesHost(entry.hosts, `${'a'.repeat(1000)}b`));
    assert.ok(matchesHost(entry.hosts, 'a'.repeat(1000)));
  });

  test('sums up a file when it is of something else', () => {
    const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7919 + (i >> 5)) % 256));
    const { entries, problems } = parseKnownHosts(bytes.toString('utf8'), 'f');
    assert.deepEqual(entries, []);
    assert.equal(problems.length, 21);
    assert.match(problems[20]?.message ?? '', /^\d+ more lines/);
  });

  test('reports a file, and does not guess, when it is UTF-16', () => {
    const { entries, problems } = parseKnownHosts(Buffer.from(`h ${K}\n`, 'utf16le').toString('utf8'), 'f');
    assert.deepEqual(entries, []);
    assert.equal(problems.length, 1);
  });
});
