import { readFileSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';

/** What the index of a code cache says of a file (src/lib/code-cache.ts). */
interface Place {
  readonly at: number;
  readonly bytes: number;
  readonly code: number;
  readonly text: number;
}

/** A code cache with what it says of `name` changed, and its code, too, by `change`, which may write into it. */
export function changedCache(cache: Buffer, name: string, change: (place: Place, code: Buffer) => Place): Buffer {
  const end = 4 + cache.readUInt32LE();
  const index = JSON.parse(cache.toString('utf8', 4, end)) as Record<string, Place>;
  const code = Buffer.from(cache.subarray(end));
  const { at, bytes } = index[name]!;
  index[name] = change(index[name]!, code.subarray(at, at + bytes));
  const text = Buffer.from(JSON.stringify(index));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text, code]);
}

/** Has the code cache take this text for what it has compiled as `name`. */
export function takeTextFor(file: string, name: string, text: string): void {
  writeFileSync(
    file,
    changedCache(readFileSync(file), name, (place) => ({ ...place, text: crc32(text) })),
  );
}
