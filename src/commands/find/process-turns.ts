import { icmpRefusals } from '../../host/icmp-refusals.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { createTurns } from '../../net/pacing/turns.ts';

/** The turns of a command that dials by itself, once for the process. */
export const processTurns = createTurns({ clock: systemClock, random: Math.random, icmpRefusals });
