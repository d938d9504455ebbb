import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TunnelSpec } from '../../src/model/spec.ts';
import type { Phase } from '../../src/model/state.ts';
import { judgeHandover } from '../../src/supervisor/judge-handover.ts';

const spec = (ports: readonly number[]) =>
  ({
    name: 'a',
    host: 'h',
    port: 22,
    forwards: ports.map((port) => ({ kind: 'remote', listen: { type: 'tcp', host: 'localhost', port } })),
  }) as unknown as TunnelSpec;

test('decides when a handover is complete, and when listeners are suspended and resumed', () => {
  const old = [{ spec: spec([1, 2]) }];
  const judge = (
    phase: Phase,
    states: readonly ('up' | 'refused' | 'pending')[],
    tried = false,
    silentSince: number | null = null,
  ) => {
    const forwards = states.map((state) => ({ state })) as never;
    return judgeHandover(spec([1, 3]), { phase, forwards, silentSince }, old, tried);
  };
  assert.equal(judge('up', ['up', 'up'], false, 1), 'wait', 'a connection that is silent may be dead');
  const cases: readonly [Phase, readonly ('up' | 'refused' | 'pending')[], boolean, string][] = [
    ['connecting', ['pending', 'pending'], false, 'cancel'],
    ['waiting', ['refused', 'refused'], true, 'cancel'],
    ['forwarding', ['pending', 'pending'], false, 'wait'],
    ['forwarding', ['refused', 'pending'], false, 'start'],
    ['forwarding', ['refused', 'pending'], true, 'wait'],
    ['forwarding', ['up', 'up'], false, 'wait'],
    ['up', ['up', 'up'], false, 'complete'],
    ['up', ['up', 'refused'], false, 'complete'],
    ['up', ['refused', 'up'], false, 'start'],
    ['up', ['refused', 'up'], true, 'wait'],
  ];
  for (const [phase, states, tried, expected] of cases)
    assert.equal(judge(phase, states, tried), expected, `${phase} ${states.join()} ${tried}`);
});
