import { parseLogLine, tunnelOfLine } from '../lib/log/format.ts';
import { escapeControls } from '../lib/text.ts';
import { byId, element } from './dom.ts';
import { formatTime } from './format.ts';
import type { LogEntry } from './state.ts';

/** Shows the last lines of the log, of all tunnels or of one; the result updates them. */
export function logView(): (entries: readonly LogEntry[], tunnels: readonly string[], now: number) => void {
  const box = byId('log');
  const select = byId('log-of') as HTMLSelectElement;
  let shown: { readonly entries: readonly LogEntry[]; readonly of: string } = { entries: [], of: '' };
  let last: { readonly entries: readonly LogEntry[]; readonly now: number } = { entries: [], now: 0 };
  const render = () => {
    const { entries, now } = last;
    if (shown.entries === entries && shown.of === select.value) return;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const known = new Set(shown.of === select.value ? shown.entries : []);
    // Lines that stay are left alone: a reader may be marking text.
    const before = known.size === 0 ? [] : entries.filter((entry) => known.has(entry));
    const passing = (entry: LogEntry) =>
      select.value === '' || ('line' in entry && tunnelOfLine(entry.line) === select.value);
    const kept = before.filter(passing).length;
    while (box.childElementCount > kept) box.firstElementChild?.remove();
    box.append(...entries.filter((entry) => !known.has(entry) && passing(entry)).map((entry) => lineOf(entry, now)));
    if (box.childElementCount === 0) box.append(element('p', { class: 'empty' }, 'No lines yet.'));
    shown = { entries, of: select.value };
    if (atEnd) box.scrollTop = box.scrollHeight;
  };
  select.addEventListener('change', () => {
    box.replaceChildren();
    render();
    box.scrollTop = box.scrollHeight;
  });
  return (entries, tunnels, now) => {
    last = { entries, now };
    const names = ['', ...tunnels];
    if (names.join() !== [...select.options].map(({ value }) => value).join()) {
      const chosen = select.value;
      select.replaceChildren(
        ...names.map((name) => element('option', { value: name }, name === '' ? 'all tunnels' : name)),
      );
      select.value = names.includes(chosen) ? chosen : '';
    }
    render();
  };
}

function lineOf(entry: LogEntry, now: number): HTMLElement {
  if ('omitted' in entry) return element('p', { class: 'faint' }, `(${entry.omitted} lines left out)`);
  const { level, time, tunnel, msg, ...rest } = parseLogLine(entry.line) ?? {};
  const [name, look] = LEVELS.get(Number(level)) ?? ['info', ''];
  const details = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return element(
    'p',
    look === '' ? {} : { class: look },
    element('time', {}, formatTime(Number(time) || 0, now)),
    ` ${name.padEnd(5)} `,
    ...(typeof tunnel === 'string' ? [element('b', {}, escapeControls(tunnel)), ' '] : []),
    escapeControls(typeof msg === 'string' ? msg : entry.line),
    element('small', {}, details.length === 0 ? '' : ` ${escapeControls(details.join(' '))}`),
  );
}

const LEVELS = new Map<number, readonly [string, string]>([
  [10, ['trace', 'faint']],
  [20, ['debug', 'faint']],
  [30, ['info', '']],
  [40, ['warn', 'warn']],
  [50, ['error', 'error']],
  [60, ['fatal', 'error']],
]);
