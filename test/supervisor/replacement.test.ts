import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ForwardSpec, TunnelSpec } from '../../src/model/spec.ts';
import { planReplacement } from '../../src/supervisor/replacement.ts';
import { seeded } from '../support/seeded.ts';

interface Loop {
  readonly spec: TunnelSpec;
  state(): { readonly lastUp: number | null };
}

interface Position {
  readonly loop: Loop;
  readonly previous: readonly Loop[];
}

const remote = (port: number): ForwardSpec => ({
  kind: 'remote',
  listen: { type: 'tcp', host: 'localhost', port },
  target: { type: 'tcp', host: 'x', port: 1 },
});

const spec = (name: string, ports: readonly number[], user = 'u') =>
  ({ name, host: 'h', port: 22, user, forwards: ports.map(remote) }) as unknown as TunnelSpec;

const loopOf = (of: TunnelSpec, lastUp: number | null = 1): Loop => ({ spec: of, state: () => ({ lastUp }) });

const position = (loop: Loop, ...previous: readonly Loop[]): Position => ({ loop, previous });

function plan(running: readonly Position[], wanted: readonly TunnelSpec[], ...unchanged: readonly string[]) {
  const { keep, resume, start, end } = planReplacement(running, wanted, new Set(unchanged));
  return { keep: [...keep], resume: [...resume], start: [...start], end };
}

const a = loopOf(spec('a', [1]));
const b = loopOf(spec('b', [2]));
const changed = spec('a', [1], 'other');
const unused = loopOf(changed, null);
const second = loopOf(spec('a@second', [1]));
const NOTHING = { keep: [], resume: [], start: [], end: [] };

const CASES: readonly [string, ReturnType<typeof plan>, ReturnType<typeof plan>][] = [
  ['what does not change is kept', plan([position(a)], [a.spec], 'a'), { ...NOTHING, keep: [['a', []]] }],
  ['what is new starts', plan([], [a.spec]), { ...NOTHING, start: [['a', []]] }],
  ['what is not wanted ends', plan([position(a)], []), { ...NOTHING, end: [a] }],
  ['a changed one replaces the one of its name', plan([position(a)], [changed]), { ...NOTHING, start: [['a', [a]]] }],
  [
    'what never was up is not kept beside its replacement',
    plan([position(unused)], [a.spec]),
    { ...NOTHING, start: [['a', []]], end: [unused] },
  ],
  [
    'a new name with the same listener replaces, too',
    plan([position(a)], [spec('c', [1])]),
    { ...NOTHING, start: [['c', [a]]] },
  ],
  [
    'two that become one',
    plan([position(a), position(b)], [spec('c', [1, 2])]),
    { ...NOTHING, start: [['c', [a, b]]] },
  ],
  [
    'two that change places: each replaces both',
    plan([position(a), position(b)], [spec('a', [2]), spec('b', [1])]),
    {
      ...NOTHING,
      start: [
        ['a', [a, b]],
        ['b', [a, b]],
      ],
    },
  ],
  [
    'what replaces one that is not up yet replaces also what that one replaces',
    plan([position(unused, a)], [spec('a', [1], 'third')]),
    { ...NOTHING, start: [['a', [a]]], end: [unused] },
  ],
  [
    'a change that is taken back resumes the one before, and ends the other',
    plan([position(unused, a)], [a.spec]),
    { ...NOTHING, resume: [['a', a]], end: [unused] },
  ],
  [
    'what is resumed is not replaced by another any more',
    plan([position(unused, a, b)], [changed, b.spec], 'a'),
    { ...NOTHING, keep: [['a', [a]]], resume: [['b', b]] },
  ],
  [
    'one that does not change shares what it still replaces with one that takes a listener of that',
    plan([position(unused, a, b)], [changed, spec('c', [2])], 'a'),
    { ...NOTHING, keep: [['a', [a, b]]], start: [['c', [b]]] },
  ],
  [
    'a server that is taken out runs until the tunnel is up at another, also beside one that is resumed',
    plan([position(unused, a), position(second)], [a.spec]),
    { ...NOTHING, keep: [['a', [second]]], resume: [['a', a]], end: [unused] },
  ],
  [
    'a listener that the server chooses is no reason',
    plan([position(loopOf(spec('a', [0])))], [spec('c', [0])]),
    { ...NOTHING, start: [['c', []]], end: [loopOf(spec('a', [0]))] },
  ],
];

for (const [what, planned, expected] of CASES) {
  test(`plans a new configuration: ${what}`, () => assert.equal(text(planned), text(expected)));
}

/** Names of tunnels are not enough to tell them apart. */
function text(of: ReturnType<typeof plan>): string {
  return JSON.stringify(of, null, 1);
}

test('loses nothing that was up and goes on under a name or listener, and runs nothing twice, whatever is wanted', () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = seeded(seed);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const some = (name: string) => spec(name, [pick([1, 2, 3]), pick([0, 4, 5])], pick(['u', 'v']));
    let running: readonly Position[] = [];
    for (let change = 0; change < 12; change++) {
      const names = ['a', 'b', 'c', 'd'].filter(() => random() < 0.6);
      const now = new Map(running.map((one) => [one.loop.spec.name, one.loop.spec]));
      const wanted = names.map((name) => (random() < 0.4 ? (now.get(name) ?? some(name)) : some(name)));
      const unchanged = wanted.filter((one) => now.get(one.name) === one).map(({ name }) => name);
      const all = new Set(running.flatMap(({ loop, previous }) => [loop, ...previous]));
      const { keep, resume, start, end } = planReplacement(running, wanted, new Set(unchanged));
      assert.deepEqual([...keep.keys()].toSorted(), unchanged.toSorted());
      assert.deepEqual([...keep.keys(), ...resume.keys(), ...start.keys()].toSorted(), names);
      const next = wanted.map((one) => {
        const kept = running.find(({ loop }) => keep.has(one.name) && loop.spec.name === one.name)?.loop;
        const loop = kept ?? resume.get(one.name) ?? loopOf(one, random() < 0.6 ? 1 : null);
        assert.equal(JSON.stringify(loop.spec), JSON.stringify(one), 'what runs is what is wanted');
        return position(loop, ...(keep.get(one.name) ?? start.get(one.name) ?? []));
      });
      const goesOn = new Set(next.flatMap(({ loop, previous }) => [loop, ...previous]));
      for (const loop of all) assert.notEqual(goesOn.has(loop), end.includes(loop), 'it goes on or it ends');
      const main = next.map(({ loop }) => loop);
      assert.ok(next.every(({ previous }) => !previous.some((loop) => main.includes(loop))));
      for (const [name, previous] of start) {
        const before = running.find(({ loop }) => loop.spec.name === name)?.loop;
        if (before?.state().lastUp === 1 && !main.includes(before)) assert.ok(previous.includes(before), name);
        assert.ok(previous.every((loop) => loop.state().lastUp !== null));
      }
      running = next;
    }
  }
});
