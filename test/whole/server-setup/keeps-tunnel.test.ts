import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { auditDocument } from '../../../src/audit/document.ts';
import type { TunnelAudit } from '../../../src/audit/findings/finding.ts';
import { choosePort, hasPort } from '../../../src/server-rules/choose-port.ts';
import { matchBlock } from '../../../src/server-rules/rules.ts';
import { serverSetup } from '../../../src/server-rules/server-setup.ts';
import { formatEndpoint } from '../../../src/model/endpoint.ts';
import type { ForwardSpec, TunnelSpec } from '../../../src/model/spec.ts';
import { auditOf, holesOf } from '../../audit/audit-sshd.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd, type SshdOptions } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, tempDir } from '../../support/until.ts';
import { socks } from '../../support/socks-client.ts';
import { specFor as specOf } from '../../support/login.ts';
import { visit } from '../../support/visit.ts';

const tcp = (host: string, port: number) => ({ type: 'tcp', host, port }) as const;
const SOCKS = { type: 'socks' } as const;

interface Ground {
  /** A free port. */
  readonly port: number;
  /** Where an echo listens. */
  readonly echo: number;
  readonly dir: string;
}

/** Every kind of forward, and words through a local one. */
const KINDS: Readonly<Record<string, (ground: Ground) => ForwardSpec>> = {
  'a port': ({ port, echo }) => remote(tcp('localhost', port), tcp('127.0.0.1', echo)),
  'a port of 127.0.0.1': ({ port, echo }) => remote(tcp('127.0.0.1', port), tcp('127.0.0.1', echo)),
  'a port of all addresses': ({ port, echo }) => remote(tcp('', port), tcp('127.0.0.1', echo)),
  'a port of all addresses of IPv4': ({ port, echo }) => remote(tcp('0.0.0.0', port), tcp('127.0.0.1', echo)),
  'a port of all addresses of IPv6': ({ port, echo }) => remote(tcp('::', port), tcp('127.0.0.1', echo)),
  'a port of one address': ({ port, echo }) => remote(tcp('127.0.0.3', port), tcp('127.0.0.1', echo)),
  'a port that the server chooses': ({ echo }) => remote(tcp('localhost', 0), tcp('127.0.0.1', echo)),
  'a Unix socket of the server': ({ dir, echo }) =>
    remote({ type: 'unix', path: join(dir, 'a.sock') }, tcp('127.0.0.1', echo)),
  'a SOCKS proxy for the server': ({ port }) => remote(tcp('localhost', port), SOCKS),
  'a port of the device': ({ port, echo }) => local(tcp('localhost', port), tcp('localhost', echo)),
  'a Unix socket behind the server': ({ port, dir }) =>
    local(tcp('localhost', port), { type: 'unix', path: join(dir, 'echo.sock') }),
  'a SOCKS proxy of the device': ({ port }) => ({ kind: 'dynamic', listen: tcp('localhost', port), target: SOCKS }),
};

describe('with the rules that are printed for it', { concurrency: 3 }, () => {
  for (const [name, forwardOn] of Object.entries(KINDS)) {
    test(`keep ${name} up and verified, and the way in for people open`, async (t) => {
      const ground = await groundFor(t);
      const forward = forwardOn(ground);
      await t.test('find nothing open when audit looks', (inner) =>
        serves(inner, forward, 'required', auditRules, ground, []),
      );
      await t.test('change nothing when server-setup runs again', (inner) =>
        serves(inner, forward, 'required', setupRules, ground),
      );
      // Then it is the way in alone that needs them.
      if (forward.kind === 'remote')
        await t.test('keep it up when verify is off', (inner) => serves(inner, forward, 'off', auditRules, ground));
    });
  }
});

test('keep the tunnel up by the line of the key alone, whatever the GatewayPorts of the server', async (t) => {
  const ground = await groundFor(t);
  for (const host of ['localhost', ''] as const) {
    const forward = remote(tcp(host, ground.port), tcp('127.0.0.1', ground.echo));
    const line = (spec: TunnelSpec) => ({ keyOptions: auditRules(spec).keyOptions ?? '' });
    // permitlisten says nothing of sockets (remote_open_match in OpenSSH's channels.c).
    await serves(t, forward, 'required', line, ground, ['listen-socket']);
  }
});

async function serves(
  t: TestContext,
  forward: ForwardSpec,
  verify: TunnelSpec['verify'],
  rules: (spec: TunnelSpec) => SshdOptions,
  { echo }: Ground,
  leaves: readonly string[] | null = null,
): Promise<void> {
  const sshd = await startSshd(rules(specOf({ user: userInfo().username, forwards: [forward], verify })));
  t.after(() => sshd.stop());
  const spec = specFor(sshd, [[1, 1]], { forwards: [forward], verify });
  const tunnel = startTunnel(t, spec);
  const { forwards } = await tunnel.untilPhase('up');
  if (forward.kind === 'remote' && verify === 'required')
    assert.equal(forwards[0]?.verified, 'yes', forwards[0]?.unverified ?? '');

  if (forward.kind !== 'remote') assert.equal(await throughLocal(forward, echo), 'hello');
  else if (hasPort(spec)) assert.match(await jump(spec, choosePort(spec)), /hello|^$/);
  // The same rules were audited once.
  if (leaves !== null) {
    const report = await auditOf(spec, []);
    assert.deepEqual(holesOf(report, 'open'), leaves, JSON.stringify(report.findings, null, 1));
  }
  await tunnel.stop();
}

function auditRules(spec: TunnelSpec): SshdOptions {
  const audit: TunnelAudit = {
    name: spec.name,
    serverVersion: null,
    login: null,
    failure: null,
    findings: [],
    notTried: [],
    sure: false,
    readFiles: false,
  };
  const { lines } = auditDocument('1.2.3', [audit], [spec]).tunnels[0]!;
  return { keyOptions: lines.authorizedKeys, config: lines.sshdConfig };
}

/** But for the place of its file of keys. */
function setupRules(spec: TunnelSpec): SshdOptions {
  const type = 'ssh-ed25519';
  const { keyLines, options, user } = serverSetup([
    { spec, keys: [{ type, base64: 'AAAA', comment: '', fingerprint: 'SHA256:A' }], jump: hasPort(spec) },
  ]);
  return {
    keyOptions: keyLines[0]!.slice(0, keyLines[0]!.indexOf(` ${type} `)),
    config: [
      ...matchBlock(
        user,
        options.filter(([name]) => name !== 'AuthorizedKeysFile'),
      ),
    ],
  };
}

/** What ProxyJump does, with the tunnel's own key. */
async function jump(spec: TunnelSpec, { host, port }: { readonly host: string; readonly port: number }) {
  const target = formatEndpoint(tcp(host, port));
  return await new Promise<string>((resolve, reject) => {
    const args = ['-F', 'none', '-i', spec.identityFiles[0]!, '-p', String(spec.port), '-o', 'BatchMode=yes'];
    const child = execFile(
      'ssh',
      [...args, '-o', `UserKnownHostsFile=${spec.userKnownHostsFiles[0]}`, '-W', target, `${spec.user}@127.0.0.1`],
      { timeout: 60_000 },
      (_error, stdout, stderr) => (/prohibited|refused/.test(stderr) ? reject(new Error(stderr)) : resolve(stdout)),
    );
    child.stdin?.end('hello');
  });
}

async function throughLocal({ listen, target }: ForwardSpec, echo: number): Promise<string> {
  assert.ok(listen.type === 'tcp');
  if (target.type !== 'socks') return await visit(listen.port, 'hello');
  const { socket } = await socks(listen.port, 5, '127.0.0.1', echo);
  return await text(socket.end('hello'));
}

async function groundFor(t: TestContext): Promise<Ground> {
  const dir = await tempDir(t);
  const echo = await startEcho();
  t.after(() => echo.close());
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket));
  await new Promise<void>((resolve) => server.listen(join(dir, 'echo.sock'), resolve));
  t.after(() => server.close());
  return { port: await freePort(), echo: echo.port, dir };
}

function remote(listen: ForwardSpec['listen'], target: ForwardSpec['target']): ForwardSpec {
  return { kind: 'remote', listen, target };
}

function local(listen: ForwardSpec['listen'], target: ForwardSpec['target']): ForwardSpec {
  return { kind: 'local', listen, target };
}
