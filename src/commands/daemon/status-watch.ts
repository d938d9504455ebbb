import { DaemonNotRunningError } from '../../control/client.ts';
import { abortable, deferred } from '../../lib/async/abort.ts';
import { sleep, systemClock } from '../../lib/async/clock.ts';
import { NEVER } from '../../lib/async/never.ts';
import { firstToEnd, waitFor } from '../../lib/async/scope.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { formatDuration } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import type { StatusDocument } from '../../status/document.ts';
import { orReason } from '../find/daemon-request.ts';
import { wantsColour } from '../text/color.ts';
import { report } from '../text/report.ts';
import { openScreen } from '../text/screen.ts';
import { formatInDetail, formatStatus, PLAIN } from '../text/status-text.ts';
import { lookAtDaemon, type Look } from './status-look.ts';

/**
 * Shows the status again every second, until q or Ctrl-C; on what is no terminal, and as JSON, one after the other. A daemon that ends is
 * waited for. Rejects where there is none in the beginning.
 */
export async function watchStatus(config: string | null, name: string | null, json: boolean): Promise<number> {
  const onScreen = !json && process.stdout.isTTY && process.env['TERM'] !== 'dumb';
  const look = () => lookAtDaemon(config, name, { colour: false, log: !json });
  const first = { look: await look(), lost: null, restarted: null };
  return onScreen ? await watchOnScreen(first, look, name !== null) : await watchInLines(first, look, { json, name });
}

const EVERY_MS = 1000;

/** What is known of the daemon. Times are of the monotonic clock, in milliseconds. */
export interface Sighting {
  /** Its last answer. */
  readonly look: Look;
  /** It does not answer. */
  readonly lost: { readonly since: number; readonly why: string } | null;
  /** It is another process than before. */
  readonly restarted: { readonly at: number; readonly before: number } | null;
}

/** Pure: what is known after the daemon was asked again. */
export function nextSighting(before: Sighting, answer: Look | UserError, now: number): Sighting {
  if (answer instanceof UserError) {
    const why =
      answer instanceof DaemonNotRunningError && !answer.denied
        ? 'it is not running'
        : answer.message.split('\n', 1)[0]!;
    return { ...before, lost: { since: before.lost?.since ?? now, why } };
  }
  const old = before.look.document;
  const isOther = old.pid !== answer.document.pid || ageOf(answer.document) < ageOf(old);
  return { look: answer, lost: null, restarted: isOther ? { at: now, before: old.pid } : before.restarted };
}

/** Not by the time of its start, which moves when the clock is set. */
function ageOf({ now, startedAt }: StatusDocument): number {
  return Date.parse(now ?? startedAt) - Date.parse(startedAt);
}

/** Notes on the daemon itself. */
export function notesOf({ look, lost, restarted }: Sighting, now: number): readonly string[] {
  if (lost !== null)
    return [
      `the daemon has not answered for ${formatDuration(now - lost.since)}: ${lost.why}; this is what it said last:`,
    ];
  if (restarted === null || now - restarted.at > MENTIONED_MS) return [];
  const ago = formatDuration(now - restarted.at);
  return [`the daemon was restarted ${ago} ago: process ${look.document.pid}, before ${restarted.before}`];
}

const MENTIONED_MS = 60_000;

async function watchOnScreen(first: Sighting, look: () => Promise<Look>, inDetail: boolean): Promise<number> {
  const left = deferred<number>();
  const colour = wantsColour();
  let sighting = first;
  const draw = () => {
    const extras = { notes: notesOf(sighting, systemClock.now()), log: sighting.look.log };
    const format = inDetail ? formatInDetail : formatStatus;
    screen.draw(format(sighting.look.document, { colour, ...screen.size() }, extras));
  };
  const screen = openScreen(process, { onRedraw: draw, onQuit: () => left.resolve(EXIT.ok) });
  const keepDrawing = async (signal: AbortSignal): Promise<never> => {
    for (;;) {
      draw();
      await sleep(systemClock, EVERY_MS, signal);
      sighting = nextSighting(sighting, await abortable(orReason(look()), signal), systemClock.now());
    }
  };
  try {
    return await firstToEnd(NEVER, [keepDrawing, waitFor(left.promise)]);
  } finally {
    screen.close();
  }
}

/** For programs, and for terminals that can only print. */
async function watchInLines(
  first: Sighting,
  look: () => Promise<Look>,
  { json, name }: { readonly json: boolean; readonly name: string | null },
): Promise<never> {
  let sighting = first;
  const view = { ...PLAIN, colour: false };
  for (;;) {
    const { document, log } = sighting.look;
    if (sighting.lost === null) {
      const format = name === null ? formatStatus : formatInDetail;
      const text = json ? JSON.stringify(document) : `${format(document, view, { notes: [], log }).join('\n')}\n`;
      process.stdout.write(`${text}\n`);
    }
    await sleep(systemClock, EVERY_MS);
    const before = sighting;
    sighting = nextSighting(before, await orReason(look()), systemClock.now());
    const isNews = (before.lost === null) !== (sighting.lost === null) || before.restarted !== sighting.restarted;
    if (sighting.lost !== null && isNews) report(`the daemon does not answer: ${sighting.lost.why}; waiting for it`);
    else if (isNews) report(`the daemon answers again: process ${sighting.look.document.pid}`);
  }
}
