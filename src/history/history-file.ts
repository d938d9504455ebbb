import { constants } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { createQueue } from '../lib/async/queue.ts';
import { inDirectory } from '../lib/files/open-directory.ts';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { checkRootMayWrite } from '../lib/files/path-owner.ts';
import { readText } from '../lib/files/read-file.ts';
import { writeDurably } from '../lib/files/write-durably.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { recordSchema, type HistoryRecord } from './outage.ts';

/** The past of all tunnels, a line of JSON for each event; bounded, appended to, and never in memory. */
export interface HistoryFile {
  /** What it holds; nothing where it cannot be read. Never rejects. */
  read(): Promise<readonly HistoryRecord[]>;
  /** Appends, flushed; where it cannot, the records wait for the next call. Never rejects. */
  append(records: readonly HistoryRecord[]): Promise<void>;
}

/**
 * `onProblem` hears once that the file cannot be written or was damaged, and null when it is written again. A damaged file is kept aside
 * as `….damaged`, and a new one begins with what could be read. A last line that a loss of power has torn is no damage.
 */
export function openHistoryFile(path: string, onProblem: (message: string | null) => void): HistoryFile {
  const inTurn = createQueue();
  let size: number | null = null;
  let lines = 0;
  let unwritten: readonly HistoryRecord[] = [];

  const load = async (): Promise<readonly HistoryRecord[]> => {
    const { text, problem } = await readWhole(path);
    const { records, damaged, torn } = parse(text);
    size = Buffer.byteLength(text);
    lines = records.length;
    const trouble = problem ?? (damaged ? 'some lines are damaged' : null);
    if (trouble !== null) {
      await rename(path, `${path}.damaged`);
      onProblem(`history ${path}: ${trouble}; it is kept as ${basename(path)}.damaged, and a new one begins`);
    }
    if (trouble !== null || torn) await rewrite(records);
    return records;
  };
  const rewrite = async (records: readonly HistoryRecord[]) => {
    const text = records.map(lineOf).join('');
    await writeDurably(path, text);
    size = Buffer.byteLength(text);
    lines = records.length;
  };
  const write = async (records: readonly HistoryRecord[]) => {
    if (size === null) await load();
    const text = records.map(lineOf).join('');
    const grown = (size ?? 0) + Buffer.byteLength(text);
    if (lines + records.length > MAX_LINES || grown > MAX_BYTES) {
      await rewrite(newestOf([...(await load()), ...records]));
      return;
    }
    await appendText(path, text);
    size = grown;
    lines += records.length;
  };

  return {
    read: () => inTurn(async () => [...(await load().catch(() => [])), ...unwritten]),
    append: (records) =>
      inTurn(async () => {
        unwritten = newestOf([...unwritten, ...records]);
        try {
          await write(unwritten);
          unwritten = [];
          onProblem(null);
        } catch (error) {
          // A part of it may have been written.
          size = null;
          onProblem(`history ${path}: not written: ${errorText(error)}`);
        }
      }),
  };
}

/** As much as is kept: the outages of a bad year, or of a bad day. */
const MAX_LINES = 1000;
const MAX_BYTES = 256 * 1024;

/** So much is left when it is full, so that it is not written anew each time. */
function newestOf(records: readonly HistoryRecord[]): readonly HistoryRecord[] {
  let bytes = 0;
  let from = records.length;
  while (from > 0 && records.length - from < 0.75 * MAX_LINES) {
    bytes += Buffer.byteLength(lineOf(records[from - 1]!));
    if (bytes > 0.75 * MAX_BYTES) break;
    from -= 1;
  }
  const kept = records.slice(from);
  return [...stillWatched(records.slice(0, from), kept), ...kept];
}

/** A tunnel that has had no outage since then was watched all the same. */
function stillWatched(dropped: readonly HistoryRecord[], kept: readonly HistoryRecord[]): readonly HistoryRecord[] {
  const watched = new Set<string>();
  for (const record of dropped) {
    if (record.type === 'stop') continue;
    if (record.type === 'end') watched.delete(record.tunnel);
    else watched.add(record.tunnel);
  }
  const last = dropped.at(-1);
  if (last === undefined) return [];
  for (const record of kept) if (record.type !== 'stop' && record.type !== 'end') watched.delete(record.tunnel);
  const at = timeOf(last);
  return [...watched].slice(0, MAX_NAMES).map((tunnel) => ({ type: 'begin', tunnel, at, boot: last.boot }));
}

function timeOf(record: HistoryRecord): number {
  if (record.type === 'outage') return record.to;
  return record.type === 'down' ? record.from : record.at;
}

/** A part of what is left of MAX_LINES. */
const MAX_NAMES = 200;

function lineOf(record: HistoryRecord): string {
  return `${JSON.stringify(record)}\n`;
}

function parse(text: string): {
  readonly records: readonly HistoryRecord[];
  readonly damaged: boolean;
  readonly torn: boolean;
} {
  const lines = text.split('\n');
  const last = lines.pop() ?? '';
  const records = lines.map(parseLine);
  return {
    records: records.filter((record) => record !== null),
    damaged: records.includes(null),
    torn: last !== '',
  };
}

function parseLine(line: string): HistoryRecord | null {
  try {
    return recordSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}

async function readWhole(path: string): Promise<{ readonly text: string; readonly problem: string | null }> {
  try {
    return { text: await readText(path), problem: null };
  } catch (error) {
    return { text: '', problem: errorCode(error) === 'ENOENT' ? null : errorText(error) };
  }
}

async function appendText(path: string, text: string): Promise<void> {
  checkRootMayWrite(path);
  makeDirectory(dirname(path));
  await inDirectory(dirname(path), async (directory) => {
    const handle = await open(directory.at(basename(path)), FLAGS, 0o600);
    try {
      await handle.appendFile(text);
      await handle.datasync();
    } finally {
      await handle.close();
    }
  });
}

const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
