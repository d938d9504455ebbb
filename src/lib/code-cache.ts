import {
  chmodSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import { crc32 } from 'node:zlib';

/**
 * Loads the files of a folder as require() does, but compiled already where there is a code cache of them: to compile them is a quarter of
 * a start. Node.js 20 has no such cache (module.enableCompileCache() of later versions writes it while the program runs, which a service
 * may not). `usual` has loaded some of them, and all are left to it where there is no cache, or where it is another Node.js's.
 */
export function cachedRequire(usual: NodeJS.Require, folder: string): (id: string) => unknown {
  let cache: Cache | null | undefined;
  const loaded = new Map<string, { exports: unknown }>();
  const load = (id: string): unknown => {
    if (!id.startsWith('.')) return usual(id);
    const file = join(folder, basename(id));
    const known = loaded.get(file) ?? usual.cache[file];
    if (known !== undefined) return known.exports;
    // All or none: a file that is loaded by `usual` has it load what it needs, once more.
    if (cache === undefined) cache = openCache(folder, file);
    if (cache === null) return usual(file);
    const run = cache.compiled(file);
    const module = { exports: {} };
    loaded.set(file, module);
    try {
      run(module.exports, load, module, file, folder);
    } catch (error) {
      loaded.delete(file);
      throw error;
    }
    return module.exports;
  };
  return load;
}

/** Writes the code cache of a folder, beside it. It is good for this version of Node.js with these options. */
export function makeCodeCache(folder: string): void {
  const names = readdirSync(folder).filter((name) => name.endsWith('.js'));
  const texts = names.map((name) => textOf(join(folder, name)));
  // What is not called until it is compiled would not be in it.
  setFlagsFromString('--no-lazy');
  const scripts = names.map((name, index) => scriptOf(join(folder, name), texts[index]!));
  setFlagsFromString('--lazy');
  const pieces = scripts.map((script) => script.createCachedData());
  const places: Record<string, Place> = {};
  let at = 0;
  for (const [index, name] of names.entries()) {
    const code = pieces[index]!;
    places[name] = { at, bytes: code.length, code: crc32(code), text: crc32(texts[index]!) };
    at += code.length;
  }
  const index = Buffer.from(JSON.stringify(places));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(index.length);
  const file = fileOf(folder);
  writeFileSync(`${file}.new`, Buffer.concat([length, index, ...pieces]));
  chmodSync(`${file}.new`, 0o644); // as the program: the service's user reads it, too, whatever the umask was
  renameSync(`${file}.new`, file);
}

/** Where the code of a file is, behind the index. V8 takes what is damaged, and ends the process; and the text may have been changed since. */
interface Place {
  readonly at: number;
  readonly bytes: number;
  /** CRC-32 of the code, and of the text of which it is. */
  readonly code: number;
  readonly text: number;
}

/** What becomes of a file of CommonJS, as in Node.js. */
type Run = (exports: object, require: (id: string) => unknown, module: object, file: string, folder: string) => void;

interface Cache {
  compiled(file: string): Run;
}

/** Null where there is none, or where it is of no use for `first`. */
function openCache(folder: string, first: string): Cache | null {
  let fd: number | null = null;
  try {
    // A FIFO would have us wait for who writes into it.
    fd = openSync(fileOf(folder), constants.O_RDONLY | constants.O_NONBLOCK);
    const codeOf = readerOfCode(fd);
    const scriptFor = (file: string) => {
      const text = textOf(file);
      return scriptOf(file, text, codeOf(basename(file), text));
    };
    const script = scriptFor(first);
    if (script.cachedDataRejected === false)
      return { compiled: (file) => (file === first ? script : scriptFor(file)).runInThisContext() as Run };
  } catch {
    // Without it a start takes longer.
  }
  if (fd !== null) closeSync(fd);
  return null;
}

/** What was compiled of this text; undefined where there is none, or where it cannot be read or is damaged, which the index may be, too. */
function readerOfCode(fd: number): (name: string, text: string) => Buffer | undefined {
  const read = (at: number, bytes: number) => {
    const memory = Buffer.allocUnsafeSlow(bytes);
    return memory.subarray(0, readSync(fd, memory, 0, bytes, at));
  };
  const indexBytes = read(0, LENGTH_BYTES).readUInt32LE();
  const places = JSON.parse(read(LENGTH_BYTES, indexBytes).toString()) as Record<string, Place>;
  return (name, text) => {
    try {
      const place = places[name];
      if (place === undefined || crc32(text) !== place.text) return undefined;
      const code = read(LENGTH_BYTES + indexBytes + place.at, place.bytes);
      return crc32(code) === place.code ? code : undefined;
    } catch {
      return undefined;
    }
  };
}

/** All are ASCII: packaging/build.mjs. */
function textOf(file: string): string {
  return readFileSync(file, 'latin1');
}

function scriptOf(file: string, text: string, cachedData?: Buffer): Script {
  return new Script(`(function (exports, require, module, __filename, __dirname) { ${text}\n})`, {
    filename: file,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
}

function fileOf(folder: string): string {
  return join(folder, '../code.cache');
}

const LENGTH_BYTES = 4;
