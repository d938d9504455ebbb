// Which sources are to be in one file of the bundle. esbuild makes a file of all those that the same commands load, which are a hundred, and
// Node.js takes almost a millisecond to find and to link each: a quarter of the start of the daemon.
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** One more file costs a start as much as so many bytes more of TypeScript, as measured. */
const FILE = 40_000;

/**
 * A plugin of esbuild that puts into one file what is needed together. All commands load `main`; the daemon, which keeps what it has loaded,
 * loads no more than without the plugin. What `first` loads is left as it is: it runs where Node.js is too old for the rest.
 */
export function together({ root, entries, first, main, daemon }) {
  const groups = groupsOf(new Sources(entries), { first, main, daemon });
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
        return { contents: `${importsOf(own)}${readFileSync(path, 'utf8')}`, loader: 'ts' };
      });
    },
  };
}

function importsOf(names) {
  return names.map((name) => `import ${JSON.stringify(name)};`).join('');
}

/** What imports what, of all that the entries lead to. A package is a source that imports nothing. */
class Sources {
  #imports = new Map();
  entries = new Set();

  constructor(entries) {
    for (const entry of entries) this.#addEntry(entry);
  }

  #addEntry(file) {
    if (this.entries.has(file)) return;
    this.entries.add(file);
    this.#add(file);
  }

  #add(file) {
    if (this.#imports.has(file)) return;
    this.#imports.set(file, []);
    if (!file.endsWith('.ts')) return;
    const text = readFileSync(file, 'utf8');
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
    return [...this.#imports.keys()].filter((file) => file.endsWith('.ts'));
  }
}

const IMPORT = /^(?:import|export) ([^;']*?)from '([^']+)';$/gm;
const IMPORT_ON_DEMAND = /\bimport\('(\.[^']+)'\)/g;

function isOfTypes(what) {
  return what.startsWith('type ') || /^\{(?:\s*type [^,}]+,?)+\s*\}\s*$/.test(what);
}

function groupsOf(sources, { first, main, daemon }) {
  if (!sources.entries.has(main)) return []; // a part of the program
  const entries = [...sources.entries];
  const loads = entries.map((entry) => sources.loadedBy(entry));
  const loadedBy = (entry) => loads[entries.indexOf(entry)];
  const commands = loads.map((loaded) => new Set([...loadedBy(main), ...loaded]));
  const ofDaemon = commands[entries.indexOf(daemon)];
  const byUsers = new Map();
  for (const file of sources.files) {
    // What one entry alone loads is in its own file.
    const isShared = loads.filter((loaded) => loaded.has(file)).length > 1;
    if (!isShared || sources.entries.has(file) || loadedBy(first).has(file)) continue;
    const users = commands.map((loaded) => loaded.has(file));
    const { files } = byUsers.get(String(users)) ?? { files: [] };
    byUsers.set(String(users), { users, files: [...files, file] });
  }
  const parts = [...byUsers.values()].map(({ users, files }) => {
    const needs = new Set();
    for (const file of files) sources.loadedBy(file, needs);
    for (const file of files) needs.delete(file);
    const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
    return { files, bytes, needs: [...needs], users, isOfDaemon: ofDaemon.has(files[0]) };
  });
  return mergeWhileCheaper(parts, commands).map(({ files }) => ({
    files,
    entries: entries.filter((entry) => files.some((file) => loadedBy(entry).has(file))),
  }));
}

/** `commands`: what each of them loads. */
function mergeWhileCheaper(parts, commands) {
  const pair = (one, other) => ({ one, other, gain: gainOf(one, other, commands) });
  let pairs = parts.flatMap((one, index) => parts.slice(index + 1).map((other) => pair(one, other)));
  for (;;) {
    pairs = pairs.filter(({ gain }) => gain > 0);
    if (pairs.length === 0) return parts;
    const { one, other } = pairs.reduce((best, each) => (each.gain > best.gain ? each : best));
    const both = merge(one, other);
    for (const [index, loaded] of commands.entries())
      if (both.users[index]) for (const file of both.files) loaded.add(file);
    const isLeft = (part) => part !== one && part !== other;
    parts = parts.filter(isLeft);
    pairs = pairs.filter((each) => isLeft(each.one) && isLeft(each.other));
    pairs.push(...parts.map((part) => pair(part, both)));
    parts.push(both);
  }
}

function merge(one, other) {
  const files = [...one.files, ...other.files];
  return {
    files,
    bytes: one.bytes + other.bytes,
    needs: [...new Set([...one.needs, ...other.needs])].filter((file) => !files.includes(file)),
    users: one.users.map((uses, index) => uses || other.users[index]),
    isOfDaemon: one.isOfDaemon,
  };
}

/** Who needs both reads a file less; who needs one of them reads the other too, which must not lead to any more. */
function gainOf(one, other, commands) {
  if (one.isOfDaemon !== other.isOfDaemon) return 0;
  let gain = 0;
  for (const [index, loaded] of commands.entries()) {
    if (one.users[index] && other.users[index]) gain += FILE;
    else if (one.users[index]) gain -= costOf(other, one, loaded);
    else if (other.users[index]) gain -= costOf(one, other, loaded);
  }
  return gain;
}

function costOf({ bytes, needs }, { files }, loaded) {
  return needs.every((file) => loaded.has(file) || files.includes(file)) ? bytes : Infinity;
}
