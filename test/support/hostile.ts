import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { startEcho } from './echo.ts';
import type { TestSshd } from './sshd.ts';
import { specFor, startTunnel, type TestTunnel, type TestTunnelOptions } from './tunnel.ts';
import { freePort, until } from './until.ts';
import type { FakeServer } from './fake-server.ts';

/** What would move a cursor, colour a terminal, end a line or turn text around. */
export const NASTY = 'a\u001b[31mb\u009b2Jc\u202ed\r\n\u2028e\u0007f\u0000g';

/** A tunnel to a port where something waits that has the keys of `sshd`, or nothing good; it leads to an echo, or to `target`. */
export async function startAt(
  t: TestContext,
  sshd: TestSshd,
  port: number,
  changes: Partial<TunnelSpec> = {},
  options: TestTunnelOptions = {},
  target: number | null = null,
): Promise<TestTunnel> {
  const echo = await startEcho();
  t.after(() => echo.close());
  const reconnect = { minMs: 100, maxMs: 1000 };
  const spec = specFor(sshd, [[await freePort(), target ?? echo.port]], {
    port,
    reconnect,
    ...changes,
  });
  return startTunnel(t, spec, options);
}

/** It failed as it should, left nothing open, and tried again. */
export async function assertRetried(
  tunnel: TestTunnel,
  server: FakeServer,
  code: string,
  message: RegExp,
): Promise<void> {
  const { failure } = await tunnel.untilFailure(code);
  assert.match(failure?.message ?? '', message);
  await until(() => server.accepted() >= 2, { what: 'the next attempt' });
  await until(() => server.open() <= 1, { what: 'the end of the first connection' });
}

/** No text that is logged or shown holds a character that a terminal would obey. */
export function assertHarmless(tunnel: TestTunnel): void {
  const harmful = ['\u001b', '\u009b', '\u202e', '\u2028', '\u0007', '\u0000', '\r', '\n'];
  JSON.stringify([tunnel.lines, tunnel.state()], (_key, value: unknown) => {
    if (typeof value !== 'string') return value;
    for (const char of harmful) assert.ok(!value.includes(char), JSON.stringify(value));
    return value;
  });
}
