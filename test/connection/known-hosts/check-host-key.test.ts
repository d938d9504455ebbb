import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TunnelFailure } from '../../../src/model/failure.ts';
import { fingerprint, keyTypeOf } from '../../../src/connection/known-hosts/key-blob.ts';
import { parseKnownHosts } from '../../../src/connection/known-hosts/parse.ts';
import {
  checkHostKey,
  hostQuery,
  knownHostsLine,
  knownKeyTypes,
} from '../../../src/connection/known-hosts/check-host-key.ts';
import { keyText, sshStrings, testKey } from '../../support/known-hosts-keys.ts';

const key = testKey('ssh-ed25519', 'server');
const sameTypeKey = testKey('ssh-ed25519', 'other');
const otherTypeKey = testKey('ssh-rsa', 'server');
const K = keyText(key);
const OTHER = keyText(sameTypeKey);
const RSA = keyText(otherTypeKey);

function entriesOf(...lines: readonly string[]) {
  const { entries, problems } = parseKnownHosts(lines.join('\n'), 'known_hosts');
  assert.deepEqual(problems, []);
  return entries;
}

/** The verdict and the lines it rests on: `known 1`, `changed 1,2`, `unknown`. */
function verdictOf(lines: readonly string[], host: string, port = 22, alias: string | null = null): string {
  const verdict = checkHostKey(entriesOf(...lines), hostQuery(host, port, alias), key);
  if (verdict.type === 'changed') return `changed ${verdict.entries.map((entry) => entry.line).join(',')}`;
  return verdict.type === 'unknown' ? 'unknown' : `${verdict.type} ${verdict.entry.line}`;
}

describe('hostQuery', () => {
  const cases: readonly [host: string, port: number, alias: string | null, name: string, withoutPort: string | null][] =
    [
      ['Example.COM', 22, null, 'example.com', null],
      ['Example.COM', 2222, null, '[example.com]:2222', 'example.com'],
      ['example.com', 2222, 'Relay', 'relay', null],
      ['2001:DB8:0:0::1', 22, null, '2001:db8::1', null],
      ['2001:DB8:0:0::1', 2222, null, '[2001:db8::1]:2222', '2001:db8::1'],
      ['FE80::1%Eth0', 22, null, 'fe80::1%Eth0', null],
      ['192.0.2.1', 2222, null, '[192.0.2.1]:2222', '192.0.2.1'],
      ['\u212aelvin', 22, null, '\u212aelvin', null],
    ];
  for (const [host, port, alias, name, withoutPort] of cases) {
    test(`${host} port ${port}${alias === null ? '' : ` as ${alias}`} is ${name}`, () => {
      const principal = alias ?? withoutPort ?? name;
      assert.deepEqual(hostQuery(host, port, alias), { name, withoutPort, principal });
    });
  }
});

describe('checkHostKey', () => {
  const cases: readonly [title: string, lines: readonly string[], host: string, port: number, verdict: string][] = [
    ['nothing is known', [], 'h', 22, 'unknown'],
    ['another host is known', [`g ${K}`], 'h', 22, 'unknown'],
    ['the key is known', [`h ${K}`], 'h', 22, 'known 1'],
    ['one of several keys', [`h ${RSA}`, `h ${OTHER}`, `h ${K}`], 'h', 22, 'known 3'],
    ['another key of the type', [`h ${OTHER}`], 'h', 22, 'changed 1'],
    ['a spare', [`h ${RSA}`, `h ${K} spare-host-key`], 'h', 22, 'known 2'],
    ['another key than the spare', [`h ${OTHER} spare-host-key`], 'h', 22, 'changed 1'],
    ['by the bare name, beside the spare of the port', [`[h]:9 ${OTHER} spare-host-key`, `h ${K}`], 'h', 9, 'known 2'],
    ['another one by both', [`[h]:9 ${OTHER} spare-host-key`, `h ${RSA}`], 'h', 9, 'changed 1'],
    ['only a key of another type', [`h ${RSA}`], 'h', 22, 'changed 1'],
    ['several other keys', [`h ${RSA}`, `g ${K}`, `h,g ${OTHER}`], 'h', 22, 'changed 1,3'],
    ['revoked for the host', [`@revoked h ${K}`], 'h', 22, 'revoked 1'],
    ['revoked wins over known', [`h ${K}`, `@revoked * ${K}`], 'h', 22, 'revoked 2'],
    ['revoked for another host', [`@revoked g ${K}`, `h ${K}`], 'h', 22, 'known 2'],
    ['another key is revoked', [`@revoked h ${OTHER}`], 'h', 22, 'unknown'],
    ['a revoked key does not make a host known', [`@revoked h ${OTHER}`, `h ${RSA}`], 'h', 22, 'changed 2'],
    ['an authority is named', [`@cert-authority *.g ${K}`, `@cert-authority h ${OTHER}`], 'h', 22, 'unknown'],
    ['an authority is no host key', [`@cert-authority h ${K}`], 'h', 22, 'unknown'],
    ['an authority beside another key', [`@cert-authority h ${K}`, `h ${RSA}`], 'h', 22, 'changed 2'],
    ['the port is named', [`[h]:2222 ${K}`], 'h', 2222, 'known 1'],
    ['another port is named', [`[h]:2223 ${K}`], 'h', 2222, 'unknown'],
    ['a named port is not port 22', [`[h]:2222 ${K}`], 'h', 22, 'unknown'],
    ['port 22 has no brackets', [`[h]:22 ${K}`], 'h', 22, 'unknown'],
    ['the bare host stands in for the port', [`h ${K}`], 'h', 2222, 'known 1'],
    ['another key of the bare host means nothing', [`h ${OTHER}`], 'h', 2222, 'unknown'],
    ['the port has a key: the bare host does not count', [`[h]:2222 ${OTHER}`, `h ${K}`], 'h', 2222, 'changed 1'],
    ['revoked for the bare host, so for its ports', [`@revoked h ${K}`], 'h', 2222, 'revoked 1'],
    ['an authority of the bare host', [`@cert-authority h ${OTHER}`], 'h', 2222, 'unknown'],
  ];
  for (const [title, lines, host, port, verdict] of cases) {
    test(`judges a key: ${title}`, () => assert.equal(verdictOf(lines, host, port), verdict));
  }

  test('replaces host and port when there is an alias', () => {
    assert.equal(verdictOf([`relay ${K}`, `h ${OTHER}`, `[h]:2222 ${OTHER}`], 'h', 2222, 'Relay'), 'known 1');
    assert.equal(verdictOf([`h ${K}`, `[h]:2222 ${K}`], 'h', 2222, 'Relay'), 'unknown');
  });

  test('never takes a key for known when it is malformed', () => {
    const entries = entriesOf(`h ${K}`);
    for (const bad of [Buffer.alloc(0), key.subarray(0, -1), Buffer.concat([key, Buffer.alloc(1)])]) {
      assert.equal(checkHostKey(entries, hostQuery('h', 22, null), bad).type, 'changed');
    }
  });
});

function typesOf(lines: readonly string[], port: number): readonly string[] {
  return knownKeyTypes(entriesOf(...lines), hostQuery('h', port, null));
}

describe('knownKeyTypes', () => {
  test('keeps the order of the lines, without duplicates, markers and other hosts', () => {
    assert.deepEqual(typesOf([`@cert-authority h ${OTHER}`, `g ${K}`, `h ${RSA}`, `h ${K}`, `h ${OTHER}`], 22), [
      'ssh-rsa',
      'ssh-ed25519',
    ]);
    assert.deepEqual(typesOf([], 22), []);
  });

  test('leaves out a key when it is revoked, but not its type', () => {
    assert.deepEqual(typesOf([`h ${K}`, `h ${RSA}`, `@revoked h ${K}`], 22), ['ssh-rsa']);
    assert.deepEqual(typesOf([`h ${K}`, `h ${OTHER}`, `@revoked h ${K}`], 22), ['ssh-ed25519']);
  });

  test('takes the bare host when nothing is known of a port', () => {
    assert.deepEqual(typesOf([`h ${RSA}`], 2222), ['ssh-rsa']);
    assert.deepEqual(typesOf([`h ${RSA}`, `[h]:2222 ${K}`], 2222), ['ssh-ed25519']);
    assert.deepEqual(typesOf([`[h]:2222 ${K}`], 22), []);
  });

  test('counts a spare where there is nothing else: of its type the server may show a key that is not known', () => {
    assert.deepEqual(typesOf([`h ${K} spare-host-key`, `h ${RSA}`], 22), ['ssh-rsa']);
    assert.deepEqual(typesOf([`[h]:2222 ${K} spare-host-key`, `h ${RSA}`], 2222), ['ssh-rsa']);
    assert.deepEqual(typesOf([`h ${K} spare-host-key`], 22), ['ssh-ed25519']);
    assert.deepEqual(typesOf([`h ${RSA}`, `@revoked h ${RSA}`, `h ${K} spare-host-key`], 22), ['ssh-ed25519']);
  });
});

describe('keyTypeOf', () => {
  const cases: readonly [title: string, key: Buffer, type: string][] = [
    ['a key', key, 'ssh-ed25519'],
    ['a type with a domain', sshStrings('sk-ssh-ed25519@openssh.com', 'x'), 'sk-ssh-ed25519@openssh.com'],
    ['nothing', Buffer.alloc(0), 'unknown'],
    ['a length without text', Buffer.from([0, 0, 0, 5, 65]), 'unknown'],
    ['a huge length', Buffer.from([255, 255, 255, 255, 65]), 'unknown'],
    ['an empty type', sshStrings('', 'x'), 'unknown'],
    ['a second line', sshStrings('ssh-rsa\n* ssh-rsa', 'x'), 'unknown'],
    ['a terminal sequence', sshStrings('\u001b[2J', 'x'), 'unknown'],
    ['a blank', sshStrings('ssh rsa', 'x'), 'unknown'],
    ['a type that is too long', sshStrings('a'.repeat(65), 'x'), 'unknown'],
  ];
  for (const [title, blob, type] of cases) {
    test(`reads the type of a key: ${title}`, () => assert.equal(keyTypeOf(blob), type));
  }
});

test('prints a fingerprint as SHA256 and unpadded base64', () => {
  assert.equal(fingerprint(Buffer.alloc(0)), 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU');
});

describe('knownHostsLine', () => {
  for (const [host, port, alias] of [
    ['Example.com', 22, null],
    ['Example.com', 2222, null],
    ['2001:db8::1', 2222, null],
    ['fe80::1%eth0', 22, null],
    ['h', 2222, 'Relay_1'],
  ] as const) {
    test(`makes the key known for ${host} port ${port} (alias ${alias})`, () => {
      const query = hostQuery(host, port, alias);
      const line = knownHostsLine(query, key);
      assert.equal(line, `${query.name} ${K}`);
      assert.equal(checkHostKey(entriesOf(line), query, key).type, 'known');
    });
  }

  for (const name of [
    '',
    'a b',
    'a,b',
    '*',
    'h?',
    '!h',
    '@revoked',
    '#h',
    '|1|a|b',
    '[h]:22',
    'h\nevil',
    'h\u0085',
    'a"b',
  ]) {
    test(`refuses the name ${JSON.stringify(name)}`, () => {
      for (const query of [hostQuery(name, 22, null), hostQuery(name, 2222, null), hostQuery('h', 22, name)]) {
        assert.throws(
          () => knownHostsLine(query, key),
          (error) => error instanceof TunnelFailure && error.code === 'host-key-unknown' && !/\n/.test(error.message),
        );
      }
    });
  }

  test('refuses a key when it is malformed', () => {
    const evil = sshStrings('ssh-rsa AAAA\n* ssh-rsa', 'x');
    assert.throws(() => knownHostsLine(hostQuery('h', 22, null), evil), /is malformed/);
  });
});
