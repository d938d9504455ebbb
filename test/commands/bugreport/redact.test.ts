import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outlineOf, redactText, redactUnit } from '../../../src/commands/bugreport/redact.ts';

test('leaves out what sounds like a secret when text goes to others', () => {
  const cases: readonly [string, string][] = [
    ['GET https://hc-ping.com/1234-5678?key=abc failed', 'GET https://hc-ping.com/*** failed'],
    ['proxy socks5://me:hunter2@proxy:1080 refused', 'proxy socks5://***@proxy:1080 refused'],
    ['Authorization: Bearer abcdef', 'Authorization: ***'],
    ['"proxy-authorization": "Basic x"', '"proxy-authorization": ***'],
    ['X-Api-Key: abc', 'X-Api-Key: ***'],
    ['Set-Cookie: tunneld=abc; path=/', 'Set-Cookie: ***'],
    ['--password=hunter2 --port=22', '--password=*** --port=22'],
    ['proxy socks5://me:hunt@er2@proxy:1080 refused', 'proxy socks5://***@proxy:1080 refused'],
    [String.raw`{"token": "hunt\"er2", "a": 1}`, '{"token": ***, "a": 1}'],
    [String.raw`"message": "password=\"hunter2\" is wrong"`, '"message": "password=*** is wrong"'],
    [String.raw`"message": "{\"token\":\"hunter2\"}"`, String.raw`"message": "{\"token\":***}"`],
    [String.raw`"message": "\"Cookie\": \"a=b\""`, String.raw`"message": "\"Cookie\": ***`],
    ['API_TOKEN="two words" next', 'API_TOKEN=*** next'],
    ['-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\nnext', '***\nnext'],
    ['-----BEGIN PRIVATE KEY-----\nabc', '***'],
    // No secrets.
    ['passwordFile: /etc/tunneld/password', 'passwordFile: /etc/tunneld/password'],
    ['limited@something.dedyn.io:22', 'limited@something.dedyn.io:22'],
    ['publickey SHA256:abc of /etc/tunneld/backup.key', 'publickey SHA256:abc of /etc/tunneld/backup.key'],
  ];
  for (const [text, redacted] of cases) assert.equal(redactText(text), redacted);
});

test('keeps names and programs when a unit has values and arguments', () => {
  const unit = `# /etc/systemd/system/tunnel.service
# the password is hunter2
[Service]
Environment=NODE_ENV=production "TOKEN=two words" \\
  OTHER=x
SetCredential=key:abc
User=tunneld
ExecStart=/usr/bin/node /usr/lib/tunneld/cli.js run --config /etc/tunneld/config.yaml
ExecStartPost=/usr/bin/curl -H "X-Auth: abc" --user me:abc https://host/abc`;
  assert.equal(
    redactUnit(unit),
    `# /etc/systemd/system/tunnel.service
[Service]
Environment=NODE_ENV=*** TOKEN=*** OTHER=***
SetCredential=key:***
User=tunneld
ExecStart=/usr/bin/node /usr/lib/tunneld/cli.js run --config /etc/tunneld/config.yaml
ExecStartPost=/usr/bin/curl -H *** *** --user *** ***`,
  );
});

test('leaves out what a unit has in unusual places', () => {
  const unit = String.raw`[Service]
Environment=A=1 \
# of old
; of older
  TWO=hunter2
Environment=THREE\
=hunter2
X-Note=hunter2
hunter2
ExecStartPre=-/usr/bin/mysql -phunter2 -u root`;
  assert.equal(
    redactUnit(unit),
    `[Service]
Environment=A=*** TWO=***
Environment=
***
***
ExecStartPre=-/usr/bin/mysql *** -u ***`,
  );
});

test('keeps keys, and values that are never secret, when a configuration is not valid', () => {
  const yaml = `# my password is hunter2
tunnels:
  a:
    host: relay.example.org
    port: 22
    password: hunter2
    passwordFile: hunter2
    identityFile: /etc/tunneld/a.key
    proxy: http://me:hunter2@proxy
    proxyCommand: >-
      nc --auth hunter2
    remoteForward:
      - 8080:localhost:22
    compression: yes
  hunter2 hunter2`;
  assert.equal(
    outlineOf(yaml),
    `tunnels:
  a:
    host: relay.example.org
    port: 22
    password: ***
    passwordFile: ***
    identityFile: /etc/tunneld/a.key
    proxy: ***
    proxyCommand: ***
      ***
    remoteForward:
      ***
    compression: yes
  ***`,
  );
});
