import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { describeDefault } from '../../src/config/schema/describe.ts';
import { configSchema } from '../../src/config/schema/json-schema.ts';
import { fileSchema, servedKeys } from '../../src/config/schema/schema.ts';
import { findKeyword } from '../../src/config/ssh-config/keywords.ts';
import { HONOURED } from '../../src/config/ssh-config/to-options.ts';
import { type Option, OPTIONS } from '../../src/model/options.ts';

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
const rows: readonly (readonly [string, Option])[] = Object.entries(OPTIONS);
const place = { home: '/home/pi', env: { A: '/a', SSH_AUTH_SOCK: '/s' }, directory: '/', aes: true };
const schema = configSchema() as { readonly definitions: Readonly<Record<string, object>> };
const validate = new Ajv({ strict: true, allowUnionTypes: true, code: { optimize: false } }).compile(schema);

test('finds every option in the documents, and served', () => {
  const example = read('config.example.yaml');
  const served = Object.keys(servedKeys(place));
  for (const [name, { ssh }] of rows) {
    assert.ok(served.includes(name), name);
    assert.match(example, new RegExp(`\\b${name}:`), name);
    if (ssh === undefined) continue;
    assert.equal(findKeyword(ssh.name)?.name, ssh.name);
    assert.ok(HONOURED.has(ssh.name.toLowerCase()), name);
  }
});

test('finds in docs/configuration.md what counts without an option', () => {
  const page = read('docs/configuration.md');
  let seen = 0;
  for (const [, cell = '', usual = ''] of page.matchAll(/^\| (`[^|]*) \| ([^|]*) \|/gm)) {
    const names = [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name!);
    for (const [name, option] of rows.filter(([row]) => names.includes(row))) {
      // Of lists, and of the switches of one thing, there are better words.
      if (Array.isArray(option.default) || names.length > 4 || option.kind.type === 'algorithms') continue;
      seen += 1;
      const words = describeDefault(option);
      assert.ok(usual.includes(words) || (words === 'none' && usual === 'straight'), `${name}: ${words}, ${usual}`);
    }
  }
  assert.ok(seen > 30, String(seen));
});

test('gives every option a text that can end in a full stop, and no two the same', () => {
  for (const [name, { text }] of rows) assert.match(text, /^[\w(0].*[^.\s]$/, name);
  assert.equal(new Set(rows.map(([, { text }]) => text)).size, rows.length);
});

test('knows every key in the JSON Schema, and no other', () => {
  assert.deepEqual(
    Object.keys(schema.definitions),
    rows.map(([name]) => name),
  );
  const { properties } = schema as unknown as { properties: object };
  assert.deepEqual(Object.keys(properties).toSorted(), Object.keys(fileSchema(place).shape).toSorted());
  for (const key of ['hots', 'HostName'])
    assert.equal(accepts({ tunnels: { a: { host: 'h', [key]: 'x' } } }), false, key);
  assert.equal(accepts({ tunnels: { a: {} }, defaults: { remoteForward: '1:a:1' } }), false);
});

test('accepts by the JSON Schema every configuration that is valid', () => {
  const example = read('config.example.yaml');
  const everything = example.replaceAll(/^( *)# ( *[a-zA-Z]+:( .*)?)$/gm, '$1$2');
  const valid = readdirSync(new URL('../config/valid', import.meta.url)).filter((file) => file.endsWith('.yaml'));
  for (const text of [example, everything, ...valid.map((file) => read(`test/config/valid/${file}`))])
    assert.ok(accepts(parse(text)), JSON.stringify(validate.errors, null, 1));
});

test('refuses by the JSON Schema what is invalid, unless only its reader can know that', () => {
  const files = readdirSync(new URL('../config/invalid', import.meta.url)).filter((file) => file.endsWith('.yaml'));
  const taken = files.filter((file) => {
    try {
      return accepts(parse(read(`test/config/invalid/${file}`)));
    } catch {
      return false; // no YAML
    }
  });
  // What two tunnels both want, a proxy beside a command, and a URL whose password cannot be decoded.
  const readersOnly = [
    'observe-url',
    'same-listener-two-tunnels',
    'same-listener',
    'same-local-listener',
    'unsupported',
  ];
  assert.deepEqual(
    taken.toSorted(),
    readersOnly.map((name) => `${name}.yaml`),
  );
});

test('judges the values of every option by the JSON Schema as the program does', () => {
  const shape = servedKeys(place);
  for (const name of Object.keys(OPTIONS) as (keyof typeof OPTIONS)[]) {
    const taken = VALUES.filter((value) => shape[name].safeParse(value).success);
    assert.ok(taken.length > 0, name);
    for (const value of taken)
      assert.ok(accepts({ tunnels: { a: { [name]: value } } }), `${name}: ${JSON.stringify(value)} is refused`);
    for (const value of [{ nonsense: 1 }, 1.5, null, [[]]])
      assert.equal(accepts({ tunnels: { a: { [name]: value } } }), false, `${name}: ${JSON.stringify(value)}`);
  }
});

test('refuses by the JSON Schema mistakes that people make', () => {
  const wrong: Partial<Record<keyof typeof OPTIONS, unknown>> = {
    host: 'me@h',
    port: 99_999,
    user: 'a b',
    addressFamily: 'ipv4',
    connectTimeout: 'soon',
    connectLimit: 'many',
    tcpKeepAlive: 'maybe',
    strictHostKeyChecking: 'ask',
    ciphers: 'aes128-ctr,rot13',
    rekeyLimit: 'lots',
    verify: 'sometimes',
    streamLocalBindMask: 177,
    channelTimeout: '1h',
    permitRemoteOpen: 'h',
    proxyJump: 'a b',
    proxy: 'http://u:secret1@p',
    remoteForward: '80:8080',
    localForward: { listen: 1, target: 'socks' },
    reconnect: { min: 0 },
  };
  for (const [name, value] of Object.entries(wrong))
    assert.equal(accepts({ tunnels: { a: { [name]: value } } }), false, name);
});

function accepts(value: unknown): boolean {
  return validate(value);
}

/** What is written for one option or another. */
const VALUES = [
  ['yes', 'no', 'YES', 'True', 'none', 'None', 'any', 'auto', 'default', 'off', 'required', 'accept-new', 'sticky'],
  ['0', '1', '22', '90', '1m30s', '2H', ' 5 ', '4/minute', '4/1m30s', 'inet', 'inet6', 'unbound', 'Host-Bound'],
  ['server.example.org', 'müller_1.example', '127.0.0.1', '0x7f.1', '::1', 'fe80::1%eth0', 'me', 'tünnel'],
  ['/a/b', '~/x', 'rel', '${A}/x', '"/a b" /c', '$NAME', 'SSH_AUTH_SOCK', "'0177'", '0177', '77'],
  ['publickey', 'publickey,password', 'gssapi-with-mic, publickey', 'ssh-ed25519,rsa-sha2-512', '-rsa*', '+ssh-rsa'],
  ['aes128-ctr', '^chacha20-poly1305@openssh.com', '-aes*', '+ 3des-cbc , aes256-ctr', 'curve25519-sha256'],
  ['hmac-sha2-256', '-hmac-sha1*', 'ssh-ed25519', '-ecdsa*', '1G 1h', '512m', 'default 1h', 'None none'],
  ['forwarded-tcpip=12h', 'direct-*=1h global=1d', 'a:1', 'nas:443 *:80 [::1]:*', 'Any', 'nas/443'],
  ['nc -X 5 %h %p', 'http://me@p:3128', 'socks5://[::1]', 'SOCKS5H://p/', 'http://p'],
  ['me@gate:22', 'ssh://gate:22', 'a,b , c', 'gate', '[::1]:22', 'a@[::1]:2'],
  ['8080:localhost:22', '*:8443:192.168.1.9:443', '[::1]:8081:localhost:80', '8082 localhost:82', '8084:/run/t'],
  ['/run/a.sock:localhost:22', '0:localhost:84', '1080', '*:1080', '/run/a.sock:/run/b.sock', '80 /run/b.sock'],
  [true, false, 0, 1, 3, 22, 90, 1024, 2048, 70_000],
  [[], ['none'], ['/a', '/b c'], ['gate', { host: 'h', port: 2, user: 'u', identityFile: 'none' }], ['publickey']],
  [['8080:localhost:22', { listen: 8081, target: 'localhost:23' }], { listen: 1080, target: 'socks' }, [1080, '*:2']],
  [['forwarded-tcpip=1h', 'x=2'], ['nas:443', '*:80'], ['1G', '1h'], ['aes128-ctr', 'aes256-ctr'], ['hmac-sha2-256']],
  [{ host: 'h' }, { min: 1 }, { min: 2, max: '2m' }, {}],
].flat() as readonly unknown[];
