// Which sources are to be in one file of the bundle. esbuild makes a file of all those that the same commands load, which are a hundred, and
// Node.js takes almost a millisecond to find and to link each: a quarter of the start of the daemon.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** One more file costs a start as much as so many bytes more of TypeScript, as measured. */
const FILE = 40_000;

/**
 * A plugin of esbuild that puts into one file what most entries need together, of the sources in `folder`. Every command loads `main`, too. The
 * daemon, which keeps what it has loaded, loads no more than without the plugin. What `first` loads is left as it is: it runs where Node.js is
 * too old for the rest. Without these three, each entry is for itself. `read` gives the text of an entry.
 */
export function together({ root, folder, entries, first = null, main = null, daemon = null, read = textOf }) {
  const groups = groupsOf(new Sources(entries), { folder, first, main, daemon });
  return {
    name: 'together',
    setup(plugin) {
      if (groups.length === 0) return;
      plugin.onResolve({ filter: /^together:/ }, ({ path }) => ({ path, namespace: 'together' }));
      plugin.onLoad({ filter: /.*/, namespace: 'together' }, ({ path }) => ({
        contents: importsOf(groups[Number(path.slice('together:'.length))].files),
        resolveDir: root,
      }));
      // An entry that needs one of a group loads them all.
      const started = new Set(groups.flatMap((group) => group.entries));
      const names = [...started].map((file) => basename(file).replaceAll('.', '\\.'));
      plugin.onLoad({ filter: new RegExp(`/(?:${names.join('|')})$`) }, ({ path }) => {
        const own = groups.flatMap((group, index) => (group.entries.includes(path) ? [`together:${index}`] : []));
        return { contents: `${importsOf(own)}${read(path)}`, loader: 'ts' };
      });
    },
  };
}

function textOf(path) {
  return readFileSync(path, 'utf8');
}

function importsOf(names) {
  return names.map((name) => `import ${JSON.stringify(name)};`).join('');
}

/**
 * What imports what, of all that the entries lead to; esbuild could tell it, too, by a second pass, which takes a second. A package is a source
 * that imports nothing.
 */
class Sources {
  #imports = new Map();
  entries = new Set();

  constructor(entries) {
    for (const entry of entries) this.#addEntry(entry);
  }

  #addEntry(file) {
    if (this.entries.has(file) || !existsSync(file)) return;
    this.entries.add(file);
    this.#add(file);
  }

  #add(file) {
    if (this.#imports.has(file)) return;
    this.#imports.set(file, []);
    if (!file.endsWith('.ts') || !existsSync(file)) return; // a text in a test may have lines like these
    const text = textOf(file);
    const absolute = (name) => (name.startsWith('.') ? join(dirname(file), name) : name);
    const names = [...text.matchAll(IMPORT)].filter(([, what]) => !isOfTypes(what)).map(([, , name]) => name);
    const imports = names.filter((name) => !name.startsWith('node:')).map(absolute);
    this.#imports.set(file, imports);
    for (const each of imports) this.#add(each);
    for (const [, name] of text.matchAll(IMPORT_ON_DEMAND)) this.#addEntry(absolute(name));
  }

  /** The file and all that comes with it. */
  loadedBy(file, seen = new Set()) {
    if (seen.has(file)) return seen;
    seen.add(file);
    for (const each of this.#imports.get(file)) this.loadedBy(each, seen);
    return seen;
  }

  get files() {
    return [...this.#imports.keys()];
  }
}

const IMPORT = /^(?:import|export) ([^;']*?)from '([^']+)';$/gm;
const IMPORT_ON_DEMAND = /\bimport\('(\.[^']+)'\)/g;

function isOfTypes(what) {
  return what.startsWith('type ') || /^\{(?:\s*type [^,}]+,?)+\s*\}\s*$/.test(what);
}

function groupsOf(sources, { folder, first, main, daemon }) {
  const entries = [...sources.entries];
  const loads = entries.map((entry) => sources.loadedBy(entry));
  const loadedBy = (entry) => loads[entries.indexOf(entry)] ?? new Set();
  const ofAll = loadedBy(main);
  const ofDaemon = new Set([...ofAll, ...loadedBy(daemon)]);
  const users = new Map(sources.files.map((file) => [file, usersOf(file, loads, ofAll)]));
  const byUsers = new Map();
  for (const file of sources.files) {
    // What one entry alone loads is in its own file.
    const isShared = loads.filter((loaded) => loaded.has(file)).length > 1;
    if (!isShared || !file.startsWith(folder) || sources.entries.has(file) || loadedBy(first).has(file)) continue;
    const key = String(users.get(file));
    byUsers.set(key, [...(byUsers.get(key) ?? []), file]);
  }
  const parts = [...byUsers.values()].map((files) => {
    const needs = new Set();
    for (const file of files) sources.loadedBy(file, needs);
    const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
    return { files, bytes, needs, users: users.get(files[0]), isOfDaemon: ofDaemon.has(files[0]) };
  });
  return mergeWhileCheaper(parts, users).map(({ files }) => ({
    files,
    entries: entries.filter((entry) => files.some((file) => loadedBy(entry).has(file))),
  }));
}

/** A bit for each entry. */
function usersOf(file, loads, ofAll) {
  const users = new Uint32Array(Math.ceil(loads.length / 32));
  for (const [index, loaded] of loads.entries())
    if (ofAll.has(file) || loaded.has(file)) users[index >> 5] |= 1 << (index & 31);
  return users;
}

/** `users`: those of each file. */
function mergeWhileCheaper(parts, users) {
  const pair = (one, other) => ({ one, other, gain: gainOf(one, other) });
  const isOfUse = ({ gain }) => gain > 0;
  const ascending = (a, b) => a.gain - b.gain;
  let pairs = parts
    .flatMap((one, index) =>
      parts
        .slice(index + 1)
        .map((other) => pair(one, other))
        .filter(isOfUse),
    )
    .toSorted(ascending);
  while (pairs.length > 0) {
    const { one, other } = pairs.pop();
    if (leadsToMore(one, other, users) || leadsToMore(other, one, users)) continue;
    const both = {
      files: [...one.files, ...other.files],
      bytes: one.bytes + other.bytes,
      needs: new Set([...one.needs, ...other.needs]),
      users: one.users.map((bits, index) => bits | other.users[index]),
      isOfDaemon: one.isOfDaemon,
    };
    for (const file of both.files) users.set(file, both.users);
    const isLeft = (part) => part !== one && part !== other;
    parts = parts.filter(isLeft);
    pairs = pairs.filter((each) => isLeft(each.one) && isLeft(each.other));
    pairs = [...pairs, ...parts.map((part) => pair(part, both)).filter(isOfUse)].toSorted(ascending);
    parts.push(both);
  }
  return parts;
}

/** Who needs both reads a file less; who needs one of them reads the other, too. */
function gainOf(one, other) {
  if (one.isOfDaemon !== other.isOfDaemon) return 0;
  let gain = 0;
  for (const [index, bits] of one.users.entries()) {
    const others = other.users[index];
    gain += FILE * bitsIn(bits & others) - other.bytes * bitsIn(bits & ~others) - one.bytes * bitsIn(others & ~bits);
  }
  return gain;
}

function bitsIn(word) {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Whether those who need `one` alone would have to load more than `other`, such as a package. */
function leadsToMore(one, other, users) {
  const more = one.users.map((bits, index) => bits & ~other.users[index]);
  return [...other.needs].some((file) => {
    if (one.files.includes(file) || other.files.includes(file)) return false;
    const has = users.get(file);
    return more.some((bits, index) => (bits & ~has[index]) !== 0);
  });
}
