import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { startDaemonProcess, tunneld } from '../../support/tunneld.ts';
import { freePort, tempDir } from '../../support/until.ts';

/** One of each kind, none of which may be in a report. */
const SECRETS = {
  password: 'planted-1-password',
  passphrase: 'planted-2-passphrase',
  proxyPassword: 'planted-3-proxypassword',
  token: 'planted-4-token',
  path: 'planted-5-monitor',
  query: 'planted-6-query',
  commandArgument: 'planted-7-argument',
  hookArgument: 'planted-8-header',
  environment: 'planted-9-environment',
  unitArgument: 'planted-10-unit',
  callerEnvironment: 'planted-11-caller',
};

interface Planted {
  readonly yaml: string;
  readonly dir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly secrets: readonly string[];
}

/** A configuration full of secrets, and a systemctl that shows a unit with more of them. */
async function plant(t: TestContext, sshd: TestSshd): Promise<Planted> {
  const dir = await tempDir(t);
  const write = (name: string, text: string, mode = 0o600) => {
    writeFileSync(join(dir, name), text, { mode });
    return join(dir, name);
  };
  const key = readFileSync(sshd.clientKey, 'utf8');
  const locked = write('locked', key);
  execFileSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', SECRETS.passphrase, '-f', locked]);
  const nowhere = await freePort();
  const proxy = await freePort();
  const passwordFile = write('password', `${SECRETS.password}\n`);
  const files = {
    passphraseFile: write('passphrase', `${SECRETS.passphrase}\n`),
    proxyPasswordFile: write('proxy-password', `${SECRETS.proxyPassword}\n`),
    tokenFile: write('token', `${SECRETS.token}-that-is-long-enough-to-be-one\n`),
  };
  const up = tunnelYaml(
    sshd,
    'up',
    `${await freePort()}:localhost:22`,
    `    passphraseFile: ${files.passphraseFile}\n`,
  );
  const yaml = `heartbeat: { url: "http://127.0.0.1:${nowhere}/${SECRETS.path}?key=${SECRETS.query}" }
onChange: { command: [/bin/true, -H, "X-Auth: ${SECRETS.hookArgument}"] }
metrics: { listen: 127.0.0.1:${await freePort()}, tokenFile: ${files.tokenFile} }
log: { level: trace }
tunnels:
${up.replace(sshd.clientKey, locked)}
  proxied: { host: relay.example.org, user: limited, proxy: "http://someone@127.0.0.1:${proxy}", proxyPasswordFile: ${files.proxyPasswordFile}, passwordFile: ${passwordFile}, remoteForward: "8080:localhost:22" }
  piped: { host: relay.example.org, user: other, proxyCommand: "false --auth ${SECRETS.commandArgument}", remoteForward: "8081:localhost:22" }
`;
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  const unit = `[Service]\nEnvironment=API=${SECRETS.environment}\nExecStartPre=/bin/notify ${SECRETS.unitArgument}\nExecStart=/usr/bin/tunneld run`;
  writeFileSync(
    join(bin, 'systemctl'),
    `#!/bin/sh\ncase "$*" in *cat*) printf '%s\\n' '${unit}';; *) echo ActiveState=active;; esac\n`,
  );
  chmodSync(join(bin, 'systemctl'), 0o755);
  const env = { PATH: `${bin}:${process.env['PATH']}`, PLANTED: SECRETS.callerEnvironment };
  const keyLines = [key, readFileSync(locked, 'utf8')].flatMap((text) =>
    text.split('\n').filter((line) => line.length > 40),
  );
  return { yaml, dir, env, secrets: [...Object.values(SECRETS), ...keyLines] };
}

function assertClean(report: string, secrets: readonly string[]): void {
  for (const secret of secrets) {
    const at = report.indexOf(secret);
    assert.equal(at, -1, `${secret} is in: ${report.slice(Math.max(0, at - 200), at + 100)}`);
  }
}

test('writes everything but secrets into one new file when the daemon runs', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const { yaml, dir, env, secrets } = await plant(t, sshd);
  const daemon = await startDaemonProcess(t, yaml);
  await daemon.untilStatus(
    ({ tunnels }) => tunnels[0]?.phase === 'up' && tunnels.slice(1).every(({ failure }) => failure !== undefined),
    'one up, two failed',
  );
  const cwd = join(dir, 'here');
  mkdirSync(cwd);
  const report = (...args: string[]) => tunneld(['bugreport', ...args, '--config', daemon.configFile], { env, cwd });
  const { code, stdout, stderr } = await report();
  assert.equal(code, 0, stderr);
  const [name = ''] = readdirSync(cwd);
  assert.match(name, /^tunneld-bugreport-\d{8}-\d{6}\.txt$/);
  assert.equal(stdout, `${name}\n`);
  assert.equal(statSync(join(cwd, name)).mode & 0o777, 0o600);
  const text = readFileSync(join(cwd, name), 'utf8');
  assertClean(text, secrets);
  for (const part of [
    /^== versions\ntunneld \d/m,
    /^== configuration .*\n/m,
    /host: relay\.example\.org/,
    /url: "\*\*\*"/,
    /proxyCommand: false \*\*\*/,
    /^== doctor\n(?:ok|fail|warn) /m,
    /^== status\n\{/m,
    /"phase": "up"/,
    /^== history\nup: up day/m,
    /^== log\n(?:.*\n)*.*tunneld started/m,
    /^== service\n(?:.*\n)*Environment=API=\*\*\*\nExecStartPre=\/bin\/notify \*\*\*\nExecStart=\/usr\/bin\/tunneld run/m,
    /\n\(end of the report\)\n$/,
  ])
    assert.match(text, part);

  const again = await report('--output', name);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /exists already/);
  assert.equal(readFileSync(join(cwd, name), 'utf8'), text);
  const printed = await report('--output', '-');
  assert.match(printed.stdout, /^Report of tunneld .*\n(?:.*\n)*\(end of the report\)\n$/);
  assertClean(printed.stdout, secrets);
});

test('writes what there is when no daemon runs, and when the configuration is not valid', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const { yaml, dir, env, secrets } = await plant(t, sshd);
  const config = join(dir, 'config.yaml');
  const rest = `network: { ping: [] }\ncontrol: { socket: ${dir}/none.sock }\nstateDirectory: ${dir}\n`;
  writeFileSync(config, `${yaml.replace(/^metrics.*\n/m, '')}${rest}`);
  writeFileSync(join(dir, 'history.jsonl'), '{"type":"begin"}\n');
  const report = async () => await tunneld(['bugreport', '--output', '-', '--config', config], { env, cwd: dir });
  const down = await report();
  assert.equal(down.code, 0, down.stderr);
  assertClean(down.stdout, secrets);
  assert.match(down.stdout, /^== status\nnot available: the daemon is not running/m);
  assert.match(
    down.stdout,
    /^== history\nthe daemon is not running.*; the last lines of .*history\.jsonl:\n\{"type":"begin"\}/m,
  );
  assert.match(down.stdout, /^(?:ok|fail|warn) +up: /m, 'doctor has looked itself');

  writeFileSync(config, `${yaml}    password: ${SECRETS.password}\n  broken: { port: "${SECRETS.token}" }\n${rest}`);
  const broken = await report();
  assert.equal(broken.code, 0, broken.stderr);
  assertClean(broken.stdout, secrets);
  assert.match(broken.stdout, /^== configuration .*\n.*config\.yaml:\d+:\d+: /m);
  assert.match(broken.stdout, /^Its keys:\n/m);
});
