import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ConfigEnvironment } from '../../src/config/input/environment.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { printWhole } from '../../src/config/print.ts';

const pi: ConfigEnvironment = {
  home: '/home/pi',
  userName: 'pi',
  uid: 1000,
  platform: 'linux',
  env: { A: 'va', SSH_AUTH_SOCK: '/run/agent' },
  aes: true,
  directory: '/home/pi',
};

const folder = new URL('valid/', import.meta.url);
const odd = String.raw`
tunnels:
  "yes":
    host: h
    identityFile: ["/a b/k", "/c'd/$e"]
    userKnownHostsFile: none
    globalKnownHostsFile: ["/x y"]
    passwordFile: "/p w/%%h/%%%d/%%u/100%done"
    hostKeyAlias: "null"
    sshConfig: none
    serverAliveInterval: 0
    connectTimeout: 1m30s
    connectLimit: 3/45s
    remoteForward:
      - 0:localhost:22
      - "*:81:[::1]:22"
      - { listen: "/run/a b.sock", target: "/run/c d.sock" }
      - { listen: '/run/a\:b', target: socks }
      - { listen: 1080, target: socks }
      - { listen: 1081, target: "/run/c d.sock", proxyProtocol: v1 }
      - { listen: "*:1082", target: "[::1]:22", proxyProtocol: v2 }
    localForward: ["[::1]:5:h:6", "/tmp/x.sock:/tmp/y.sock", "/tmp/%%u:/tmp/%u"]
    dynamicForward: [7, "127.0.0.1:8"]
    proxyCommand: "nc %% %h '100%%' #x"
    identityAgent: SSH_AUTH_SOCK
  "007":
    host: "::1"
    user: "a:b%h"
    remoteForward: 9:localhost:22
    sshConfig: none
    proxy: "http://u%40x@[::1]:3128"
    identityAgent: none
  "1e3":
    host: h3
    sshConfig: none
    identitiesOnly: yes
    proxyJump: ["x@[::1]:5", { host: j, identityFile: none, user: y }]
    remoteForward: 10:localhost:22
  several:
    servers: { failover: [u@a:23, { host: b, user: "v:%h", hostKeyAlias: x, serverAliveInterval: 7 }], after: 5, back: 1h }
    user: w
    sshConfig: none
    identityFile: /k
    verify: required
    proxyJump: j
    remoteForward: [11:localhost:22, { listen: 12, target: socks }]
  every:
    servers:
      all:
        - { host: "::1", port: 24, identityFile: ["/a b/k"], proxyJump: [k, l@m:25] }
        - { host: "::1", proxy: "socks5://p:1080", passwordFile: "/100%%" }
        - { host: d, proxyCommand: "nc %h %p" }
    sshConfig: none
    remoteForward: 13:localhost:22
network: { ping: [] }
log: { level: debug, file: "/var/log/a b: c.log" }
control: { socket: "/run/\${A}/c.sock" }
stateDirectory: "/x/#y/%%h"
`;

for (const [name, text] of [
  ...readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => [file, readFileSync(new URL(file, folder), 'utf8')] as const),
  ['odd values', odd.replace('\\${A}', '${A}')] as const,
]) {
  test(`prints what means the same wherever it lies: ${name}`, async () => {
    const config = await parseConfig(text, '/etc/tunneld/config.yaml', pi);
    const again = await parseConfig(printWhole(config, pi), '/var/lib/tunneld/last-good.yaml', pi);
    assert.deepEqual({ ...again, file: '', notes: [] }, { ...config, file: '', notes: [] });
  });
}
