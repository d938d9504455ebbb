import { constants } from 'node:fs';
import { open, rename, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { createQueue } from '../lib/async/queue.ts';
import { inSlices } from '../lib/async/slices.ts';
import { inDirectory } from '../lib/files/open-directory.ts';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { checkRootMayWrite } from '../lib/files/path-owner.ts';
import { MAX_TEXT_BYTES, readText } from '../lib/files/read-file.ts';
import { writeDurably } from '../lib/files/write-durably.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { recordSchema, timeOf, watchedAfter, type HistoryRecord } from './outage.ts';
import { orElse } from '../lib/or-else.ts';

/** The past of all tunnels, a line of JSON for each event; bounded, appended to, and never in memory. */
export interface HistoryFile {
  /** What it holds; nothing where it cannot be read. Never rejects. */
  read(): Promise<readonly HistoryRecord[]>;
  /** Appends, flushed; where it cannot, the records wait for the next call. Never rejects. */
  append(records: readonly HistoryRecord[]): Promise<void>;
}

/**
 * `onProblem` hears that the file cannot be read or written, or was damaged, and null when it is written, or read, again. A damaged file is
 * kept aside as `….damaged`, and a new one begins with what could be read. Damage is what was seen (a line that cannot be parsed, no regular
 * file, one that is too large), not that the system refused to show it; a last line that a loss of power has torn is none.
 */
export function openHistoryFile(path: string, onProblem: (message: string | null) => void): HistoryFile {
  const oneAtATime = createQueue();
  let size: number | null = null;
  let lines = 0;
  let unwritten: readonly HistoryRecord[] = [];
  let unread = false;

  const mend = async ({ records, count, bytes, damage, torn }: Found) => {
    if (damage !== null) {
      await rename(path, `${path}.damaged`);
      onProblem(`history ${path}: ${damage}; it is kept as ${basename(path)}.damaged, and a new one begins`);
    }
    if (damage !== null || torn) return await rewrite(records);
    size = bytes;
    lines = count;
  };
  const rewrite = async (records: readonly HistoryRecord[]) => {
    const text = records.map(lineOf).join('');
    size = null;
    await writeDurably(path, text);
    size = Buffer.byteLength(text);
    lines = records.length;
  };
  const write = async (records: readonly HistoryRecord[]) => {
    if (size === null) await mend(await lookAt(path));
    const text = records.map(lineOf).join('');
    const grown = (size ?? 0) + Buffer.byteLength(text);
    if (lines + records.length > MAX_LINES || grown > MAX_BYTES) {
      const found = await lookAt(path);
      await mend(found);
      return await rewrite(keptOf([...found.records, ...records]));
    }
    await appendText(path, text);
    size = grown;
    lines += records.length;
  };

  const read = async (): Promise<readonly HistoryRecord[]> => {
    let records: readonly HistoryRecord[] = [];
    try {
      const found = await lookAt(path);
      records = found.records;
      await mend(found);
      if (unread) onProblem(null);
      unread = false;
    } catch (error) {
      unread = true;
      onProblem(`history ${path}: not read: ${errorText(error)}`);
    }
    return [...records, ...unwritten];
  };

  return {
    read: () => oneAtATime(read),
    append: (records) =>
      oneAtATime(async () => {
        unwritten = keptOf([...unwritten, ...records]);
        try {
          await write(unwritten);
          unwritten = [];
          unread = false;
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
function keptOf(records: readonly HistoryRecord[]): readonly HistoryRecord[] {
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
  const watched = watchedAfter(dropped);
  const last = dropped.at(-1);
  if (last === undefined) return [];
  for (const record of kept) if (record.type !== 'stop' && record.type !== 'end') watched.delete(record.tunnel);
  const at = timeOf(last);
  return [...watched.keys()].slice(0, MAX_NAMES).map((tunnel) => ({ type: 'begin', tunnel, at, boot: last.boot }));
}

/** A part of what is left of MAX_LINES. */
const MAX_NAMES = 200;

function lineOf(record: HistoryRecord): string {
  return `${JSON.stringify(recordSchema.parse(record))}\n`;
}

interface Found {
  readonly records: readonly HistoryRecord[];
  /** The lines of the file. */
  readonly count: number;
  readonly bytes: number;
  readonly damage: string | null;
  /** The last line has no end. */
  readonly torn: boolean;
}

/** No more records than what is kept. Rejects where the system does not show it. */
async function lookAt(path: string): Promise<Found> {
  try {
    const found = await inSlices(parse(await readText(path)));
    return { ...found, records: found.records.length > MAX_LINES ? keptOf(found.records) : found.records };
  } catch (error) {
    const damage = errorCode(error) === 'ENOENT' ? null : await damageOf(path);
    if (errorCode(error) !== 'ENOENT' && damage === null) throw error;
    return { records: [], count: 0, bytes: 0, damage, torn: false };
  }
}

/** In slices: a damaged file may have a million lines. */
function* parse(text: string): Generator<undefined, Found> {
  const records: HistoryRecord[] = [];
  let damage: string | null = null;
  let count = 0;
  let from = 0;
  for (let to = text.indexOf('\n'); to !== -1; to = text.indexOf('\n', from)) {
    const record = to - from > MAX_LINE ? null : parseLine(text.slice(from, to));
    if (record === null) damage = 'some lines are damaged';
    else if (record !== 'newer') records.push(record);
    count += 1;
    from = to + 1;
    yield;
  }
  return { records, count, bytes: Buffer.byteLength(text), damage, torn: from < text.length };
}

/** A line of ours has a few KiB; a longer one is not worth the time that a parser takes for what is nested without end. */
const MAX_LINE = 64 * 1024;

/** Null is damage. */
function parseLine(line: string): HistoryRecord | 'newer' | null {
  // An exception for each line of a damaged file would take a hundred times as long.
  if (!line.startsWith('{')) return null;
  const value = orElse(() => JSON.parse(line) as unknown, null);
  return isOfNewer(value) ? 'newer' : (recordSchema.safeParse(value).data ?? null);
}

/** A kind of record that only a newer version knows. */
function isOfNewer(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('type' in value)) return false;
  return typeof value.type === 'string' && !TYPES.has(value.type);
}

const TYPES: ReadonlySet<string> = new Set<HistoryRecord['type']>(['begin', 'end', 'down', 'outage', 'stop']);

/** What is seen to be wrong with what cannot be read, or null. */
async function damageOf(path: string): Promise<string | null> {
  const stats = await stat(path);
  if (!stats.isFile()) return 'it is not a regular file';
  return stats.size > MAX_TEXT_BYTES ? 'it is larger than 1 MiB' : null;
}

async function appendText(path: string, text: string): Promise<void> {
  checkRootMayWrite(path);
  makeDirectory(dirname(path));
  await inDirectory(dirname(path), async (directory) => {
    const handle = await open(directory.at(basename(path)), FLAGS, 0o600);
    const { size } = await handle.stat();
    try {
      await handle.appendFile(text);
      await handle.datasync();
    } catch (error) {
      // All of it is written again later: what a full disk took of it would be there twice.
      await handle.truncate(size);
      throw error;
    } finally {
      await handle.close();
    }
  });
}

const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
