import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ConfigEnvironment, systemEnvironment } from '../../../src/config/input/environment.ts';
import { ConfigError, formatProblem } from '../../../src/config/input/problem.ts';
import { parseConfig } from '../../../src/config/parse.ts';
import { findKeyword, KEYWORD_NAMES } from '../../../src/config/ssh-config/keywords.ts';
import { REFUSED } from '../../../src/config/ssh-config/refused-options.ts';
import { restricts } from '../../../src/config/ssh-config/restricting.ts';
import { HONOURED } from '../../../src/config/ssh-config/to-options.ts';

/** What restricts in ssh_config(5) is honoured or refused, never ignored. */

const home = mkdtempSync(join(tmpdir(), 'restricting-'));
after(() => rmSync(home, { recursive: true }));
const env: ConfigEnvironment = { ...systemEnvironment(), home, directory: home };

/** By what they are about: terminals and commands, X11 and agents, certificates of servers (none is accepted), logs, how ssh asks, shares. */
const TAKES_NOTHING_AWAY = `
  EnableEscapeCommandline EscapeChar ForkAfterAuthentication LocalCommand ObscureKeystrokeTiming PermitLocalCommand
  RemoteCommand RequestTTY SendEnv SessionType SetEnv StdinNull Tunnel TunnelDevice
  AddKeysToAgent ForwardAgent ForwardX11 ForwardX11Timeout ForwardX11Trusted PKCS11Provider SecurityKeyProvider XAuthLocation
  EnableSSHKeysign GSSAPIAuthentication GSSAPIDelegateCredentials HostbasedAcceptedAlgorithms
  HostbasedAuthentication NoHostAuthenticationForLocalhost VerifyHostKeyDNS
  FingerprintHash HashKnownHosts LogLevel LogVerbose SyslogFacility VersionAddendum VisualHostKey WarnWeakCrypto
  BatchMode ConnectionAttempts ControlMaster ControlPath ControlPersist IPQoS`;

test('honours or refuses every keyword when it would take something away', () => {
  const harmless = TAKES_NOTHING_AWAY.match(/\S+/g) ?? [];
  const ofFiles = ['Host', 'Match', 'Include'];
  const others = KEYWORD_NAMES.filter((name) => {
    const key = name.toLowerCase();
    return !HONOURED.has(key) && !REFUSED.has(key) && !ofFiles.includes(name);
  });
  assert.deepEqual(others.toSorted(), harmless.toSorted());
  for (const name of harmless)
    for (const word of ['yes', 'no', 'none', 'x']) assert.equal(restricts(findKeyword(name)!.key, [word]), false, name);
});

test('refuses an option also when it is unknown whether its block applies', () => {
  for (const key of REFUSED.keys()) assert.ok(restricts(key, [key === 'proxyusefdpass' ? 'true' : 'x']), key);
  for (const key of ['identityagent', 'identityfile', 'userknownhostsfile', 'globalknownhostsfile']) {
    assert.ok(restricts(key, ['None']), key);
    assert.equal(restricts(key, ['~/file']), false, key);
  }
});

test('refuses ClearAllForwardings when a tunnel has forwards, however it is spelled and wherever they stand', async () => {
  const problem = /ssh:2:3: ClearAllForwardings removes all forwards/;
  for (const [line, expected] of [
    ['ClearAllForwardings yes', problem],
    ['ClearAllForwardings True', problem],
    ['ClearAllForwardings perhaps', /ssh:2:3: ClearAllForwardings must be yes or no/],
    ['ClearAllForwardings no', null],
    ['ClearAllForwardings FALSE', null],
  ] as const) {
    for (const [host, forward] of [
      ['h', 'remoteForward: "8080:localhost:22", '],
      ['h', ''],
      ['gone-through', 'remoteForward: "8080:localhost:22", proxyJump: h, '],
    ]) {
      writeFileSync(join(home, 'ssh'), `Host h\n  ${line}\n  LocalForward 9090 a:1\n`);
      const found = await problemsOf(`tunnels:\n  a: { host: ${host}, ${forward}sshConfig: ${home}/ssh }\n`);
      if (expected === null || host !== 'h') assert.deepEqual(found, [], `${line} for ${host}`);
      else assert.match(found.join('\n'), expected);
    }
  }
});

async function problemsOf(yaml: string): Promise<readonly string[]> {
  try {
    await parseConfig(yaml, 'FILE', env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(formatProblem);
  }
}
