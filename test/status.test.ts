import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assessHealth } from '../src/status/health.ts';
import { atOnce } from '../src/lib/async/slices.ts';
import { planChange } from '../src/supervisor/plan-change.ts';
import { formatInDetail, formatStatus, PLAIN } from '../src/commands/text/status-text.ts';
import { MAX_LISTED, statusDocument, summaryLine } from '../src/status/document.ts';
import type { RunningTunnel } from '../src/supervisor/supervisor.ts';
import type { TunnelSpec } from '../src/model/spec.ts';
import { initialState, type ForwardState, type TunnelState } from '../src/model/state.ts';

const STARTED = Date.UTC(2026, 0, 1);

const spec = (name: string, host = 'server') =>
  ({
    name,
    host,
    port: 2222,
    user: 'limited',
    forwards: [
      {
        kind: 'remote',
        listen: { type: 'tcp', host: 'localhost', port: 0 },
        target: { type: 'tcp', host: '::1', port: 22 },
      },
    ],
    entry: { type: 'direct' },
    jumps: [],
  }) as unknown as TunnelSpec;

const state = (change: Partial<TunnelState>, forward: Partial<ForwardState> = {}): TunnelState => {
  const initial = initialState(spec('a'), STARTED);
  return { ...initial, ...change, forwards: initial.forwards.map((one) => ({ ...one, ...forward })) } as TunnelState;
};

const running = (of: TunnelState, name = 'a', previous: readonly RunningTunnel[] = []): RunningTunnel => ({
  spec: spec(name),
  state: of,
  startedAt: STARTED,
  previous,
});

const QUIET = { problem: null, trial: null };
const BROKEN = { problem: { message: 'm', at: STARTED }, trial: null };

const failure = { code: 'connect-refused', message: 'm', hint: 'h', at: STARTED } as const;

test('puts every name in one list', () => {
  assert.deepEqual(atOnce(planChange([spec('a'), spec('b'), spec('c')], [spec('d'), spec('b', 'other'), spec('a')])), {
    added: ['d'],
    changed: ['b'],
    removed: ['c'],
    unchanged: ['a'],
  });
});

test('has patience with a blip, and none when a person must cure it', () => {
  const minute = 60_000;
  const cases: readonly [string, TunnelState[], number, string][] = [
    ['nothing configured', [], 0, 'ok'],
    ['up', [state({ phase: 'up' }, { state: 'up' })], 0, 'ok'],
    ['just started', [state({ phase: 'connecting' })], minute, 'ok'],
    ['just started, and refused', [state({ phase: 'forwarding' }, { state: 'refused' })], 1, 'degraded'],
    ['just started, and without success', [state({ phase: 'waiting', failure })], 1, 'degraded'],
    ['refused since a moment', [state({ phase: 'forwarding', lastUp: STARTED }, { state: 'refused' })], 1, 'degraded'],
    ['refused for long', [state({ phase: 'forwarding' }, { state: 'refused' })], minute + 1, 'failed'],
    ['up elsewhere', [state({ phase: 'up' }, { state: 'up', misplaced: true })], 0, 'degraded'],
    ['never up for more than a minute', [state({ phase: 'waiting' })], minute + 1, 'failed'],
    ['down since a moment', [state({ phase: 'waiting', lastUp: STARTED + 10 * minute })], 11 * minute, 'ok'],
    ['down for long', [state({ phase: 'waiting', lastUp: STARTED + 10 * minute })], 12 * minute, 'failed'],
    ['blocked', [state({ phase: 'blocked', lastUp: STARTED })], 0, 'failed'],
    ['target refuses', [state({ phase: 'up' }, { state: 'up', targetFailure: failure })], 0, 'degraded'],
    ['a forward is missing', [state({ phase: 'up' }, { state: 'refused' })], 0, 'degraded'],
    ['the worst counts', [state({ phase: 'up' }, { state: 'refused' }), state({ phase: 'blocked' })], 0, 'failed'],
  ];
  for (const [what, tunnels, after, health] of cases) {
    assert.equal(
      assessHealth(
        tunnels.map((of) => running(of)),
        QUIET,
        STARTED + after,
      ),
      health,
      what,
    );
  }
  const replaced = (phase: TunnelState['phase']) => [
    running(state({ phase: 'blocked' }), 'a', [running(state({ phase }))]),
  ];
  assert.equal(assessHealth(replaced('up'), QUIET, STARTED), 'degraded', 'what it replaces is up');
  assert.equal(assessHealth(replaced('waiting'), QUIET, STARTED), 'failed', 'what it replaces is not up');
  const up = running(state({ phase: 'up' }, { state: 'up' }));
  assert.equal(assessHealth([up], BROKEN, STARTED), 'degraded', 'the file is not valid');
});

test('has the keys that scripts rely on', () => {
  const facts = {
    version: '1.2.3',
    pid: 7,
    config: '/etc/c.yaml',
    ...COST,
    startedAt: STARTED,
    configuration: QUIET,
    problems: [],
  };
  const tunnel = running(state({ phase: 'waiting', retryAt: STARTED + 5000, attempts: 3, failure }), 'a', [
    running(state({ phase: 'up' }, { state: 'up', boundPort: 4000 }), 'old'),
  ]);
  const document = statusDocument(facts, [tunnel], { now: STARTED, wall: STARTED });
  assert.deepEqual(JSON.parse(JSON.stringify(document)), {
    now: '2026-01-01T00:00:00.000Z',
    version: '1.2.3',
    pid: 7,
    process: { cpuSeconds: 1.5, residentBytes: 4096, openFileDescriptors: 9 },
    startedAt: '2026-01-01T00:00:00.000Z',
    health: 'degraded',
    config: '/etc/c.yaml',
    tunnels: [
      {
        name: 'a',
        phase: 'waiting',
        health: 'degraded',
        since: '2026-01-01T00:00:00.000Z',
        downSince: '2026-01-01T00:00:00.000Z',
        server: 'limited@server:2222',
        attempts: 3,
        totalAttempts: 0,
        logins: 0,
        keyExchanges: {},
        outages: {},
        retryAt: '2026-01-01T00:00:05.000Z',
        failure: { code: 'connect-refused', message: 'm', hint: 'h', at: '2026-01-01T00:00:00.000Z' },
        forwards: [
          {
            kind: 'remote',
            listen: 'localhost:0',
            target: '[::1]:22',
            state: 'pending',
            verified: 'unknown',
            connections: 0,
            totalConnections: 0,
            refusedConnections: 0,
            cutConnections: 0,
            bytesIn: 0,
            bytesOut: 0,
          },
        ],
        previous: [
          {
            name: 'old',
            phase: 'up',
            since: '2026-01-01T00:00:00.000Z',
            server: 'limited@server:2222',
            listen: ['localhost:4000'],
          },
        ],
      },
    ],
  });
});

test('lists the oldest open connections when they are asked for', () => {
  const open = new Set(
    Array.from({ length: MAX_LISTED + 1 }, (_, index) => ({
      originator: `192.0.2.1:${index}`,
      target: '[::1]:22',
      since: STARTED - 60_000,
      bytesIn: index,
      bytesOut: 2,
    })),
  );
  const tunnel = running(state({ phase: 'up' }, { state: 'up', open }));
  const facts = { ...COST, version: '1', pid: 7, config: '/c', startedAt: 0, configuration: QUIET, problems: [] };
  const moment = { now: STARTED, wall: STARTED };
  assert.ok(!('openConnections' in statusDocument(facts, [tunnel], moment).tunnels[0]!.forwards[0]!));
  const listed = statusDocument(facts, [tunnel], moment, { connections: true }).tunnels[0]?.forwards[0]
    ?.openConnections;
  assert.equal(listed?.length, MAX_LISTED);
  assert.deepEqual(listed[1], {
    originator: '192.0.2.1:1',
    target: '[::1]:22',
    since: '2025-12-31T23:59:00.000Z',
    bytesIn: 1,
    bytesOut: 2,
  });
});

test('names in its summary what is not up', () => {
  const up = running(state({ phase: 'up' }));
  const down = running(state({ phase: 'waiting', failure }), 'b');
  assert.equal(summaryLine([up], QUIET), '1 of 1 tunnel up');
  assert.equal(summaryLine([up, down], QUIET), '1 of 2 tunnels up; b: connect-refused');
  assert.equal(summaryLine([up], BROKEN), 'the configuration file is not valid; 1 of 1 tunnel up');
  const trial = { candidate: 'x', until: STARTED, waitingFor: [] };
  assert.equal(summaryLine([up], { problem: null, trial }), 'on trial; 1 of 1 tunnel up');
  assert.equal(summaryLine([up], QUIET, ['no socket']), '1 of 1 tunnel up; no socket');
});

/** What the daemon costs, and no outages. */
const COST = {
  nativeCryptoProblem: null,
  process: { cpuSeconds: 1.5, residentBytes: 4096, openFileDescriptors: 9 },
  outagesOf: () => ({ totals: {}, last: null }),
};

test('says why data is not encrypted by the addon', () => {
  const facts = { ...COST, version: '1', pid: 7, config: '/c', startedAt: 0, configuration: QUIET, problems: [] };
  const moment = { now: 0, wall: 0 };
  const nativeCryptoProblem = 'there is none for linux on riscv64';
  assert.equal(statusDocument({ ...facts, nativeCryptoProblem }, [], moment).nativeCryptoProblem, nativeCryptoProblem);
  assert.equal('nativeCryptoProblem' in statusDocument(facts, [], moment), false);
});

test('reports how the configuration stands with its file', () => {
  const trial = { candidate: 'x', until: STARTED, waitingFor: ['a'] };
  const configuration = { ...BROKEN, trial };
  const facts = {
    ...COST,
    version: '1',
    pid: 7,
    config: '/c',
    startedAt: STARTED,
    configuration,
    problems: ['no socket'],
  };
  const { configProblem, trial: shown, health, problems } = statusDocument(facts, [], { now: STARTED, wall: STARTED });
  const at = '2026-01-01T00:00:00.000Z';
  assert.deepEqual(
    [configProblem, shown, health, problems],
    [{ message: 'm', at }, { candidate: 'x', until: at, waitingFor: ['a'] }, 'degraded', ['no socket']],
  );
});

test('changes no duration and no health when the clock is set', () => {
  const years = 56 * 365 * 86_400_000;
  const since = 100_000;
  const now = since + 3_600_000;
  const down = running({
    ...state({ phase: 'waiting', since: now - 5000, lastUp: now - 5000, retryAt: now + 30_000 }),
  });
  const up = running({
    ...state({ phase: 'up', since, silentSince: now - 20_000, failure: { ...failure, at: since - 60_000 } }),
  });
  const trial = { candidate: 'x', until: now + 240_000, waitingFor: [] };
  const configuration = { problem: { message: 'm', at: now - 120_000 }, trial };
  const facts = { ...COST, version: '1', pid: 7, config: '/c', startedAt: since - 90_000, configuration, problems: [] };
  const texts = [0, years].map((wall) => {
    const document = statusDocument(facts, [up, down], { now, wall });
    assert.deepEqual([document.health, document.tunnels[1]?.health], ['degraded', 'ok']);
    const text = [...formatStatus(document, PLAIN), ...formatInDetail(document, PLAIN)].join('\n');
    return text.replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME');
  });
  assert.equal(texts[0], texts[1]);
  for (const said of [
    'started 1h 1m ago',
    'up for 1h',
    'no answer for 20s',
    'waiting, not up for 5s',
    'in 30s',
    'in 4m',
    'seen 2m ago',
    '(TIME, 1h 1m ago)',
  ])
    assert.ok(texts[0]?.includes(said), `${said}: ${texts[0]}`);
});
