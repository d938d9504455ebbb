import { isDeepStrictEqual } from 'node:util';
import type { TunnelSpec } from '../model/spec.ts';
import { startHandover, type Handover } from './handover.ts';
import { judgeHandover } from './judge-handover.ts';
import { startLoop, type Loop, type LoopDeps } from './loop.ts';

/** A tunnel of the configuration. */
export interface Slot {
  readonly loop: Loop;
  /** The loops that run until this one is up, because it replaces them. */
  previous: readonly Loop[];
  handover: Handover | null;
  /** Whether a handover was started in the present session. */
  handoverTried: boolean;
  /** Resolves when the loops that were ended for this one are disconnected: the server grants a listener to one at a time. */
  readonly ready: Promise<unknown>;
}

/** All the tunnels that run. */
export interface Slots {
  readonly deps: LoopDeps;
  /** By the names of the configuration. */
  readonly byName: Map<string, Slot>;
  /** All loops that are not disconnected yet, predecessors included. */
  readonly alive: Set<Loop>;
  /** The configuration: also of servers that do not have their tunnel at present. */
  wanted: readonly TunnelSpec[];
  stopped: boolean;
  /** To be called when anything that status shows has changed. */
  changed(): void;
}

/** Starts a tunnel that may be up before its predecessors end; it does not listen before `ready`. */
export function startSlot(slots: Slots, spec: TunnelSpec, previous: readonly Loop[], ready: Promise<unknown>): Slot {
  const loop = startLoop(spec, slots.deps, {
    onChange: (changed) => onChange(slots, changed),
    beforeListening: (waiting) => beforeListening(slots, waiting),
  });
  slots.alive.add(loop);
  if (slots.stopped) void loop.end();
  return { loop, previous, handover: null, handoverTried: false, ready };
}

export async function endLoop({ alive }: Slots, loop: Loop): Promise<void> {
  await loop.end();
  alive.delete(loop);
}

function onChange(slots: Slots, loop: Loop): void {
  const slot = slots.byName.get(loop.spec.name);
  if (slot?.loop === loop) advanceHandover(slots, slot);
  else if (slot !== undefined) endSpent(slots, slot, loop);
  slots.changed();
}

/** A predecessor with the same spec ends with its session: two loops would dial the server for one tunnel. */
function endSpent(slots: Slots, slot: Slot, old: Loop): void {
  const isSpent = !['up', 'forwarding'].includes(old.state().phase);
  if (!isSpent || !slot.previous.includes(old) || !isDeepStrictEqual(old.spec, slot.loop.spec)) return;
  slot.previous = slot.previous.filter((one) => one !== old);
  void endLoop(slots, old);
}

/** The predecessors end when the new tunnel has all their listeners, and resume them when it fails. */
export function advanceHandover(slots: Slots, slot: Slot): void {
  const { loop, previous, handoverTried } = slot;
  switch (judgeHandover(loop.spec, loop.state(), previous, handoverTried)) {
    case 'complete':
      slot.handover?.complete();
      slot.previous = [];
      slot.handover = null;
      for (const old of previous.filter((one) => !predecessors(slots).includes(one))) {
        slots.deps.log.info({ tunnel: old.spec.name }, 'the predecessor of the tunnel ends: its replacement is up');
        void old.retire().then(() => slots.alive.delete(old));
      }
      break;
    case 'cancel':
      slot.handover?.cancel();
      slot.handover = null;
      slot.handoverTried = false;
      break;
    case 'start':
      beginHandover(slots, slot, 'any');
      break;
    case 'wait':
      break;
  }
}

async function beforeListening(slots: Slots, loop: Loop): Promise<void> {
  const slot = slots.byName.get(loop.spec.name);
  if (slot?.loop !== loop) return;
  await slot.ready;
  if (slot.handoverTried) return;
  beginHandover(slots, slot, 'same');
  await slot.handover?.ready;
}

function beginHandover(slots: Slots, slot: Slot, server: 'same' | 'any'): void {
  slot.handover = startHandover(slot.loop, predecessors(slots), server, slots.deps.clock);
  slot.handoverTried = slot.handover !== null;
}

function predecessors({ byName }: Slots): readonly Loop[] {
  return [...byName.values()].flatMap(({ previous }) => previous);
}
