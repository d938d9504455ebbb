// Makes CommonJS of what esbuild has made. esbuild can do it, too, but reaches what comes from another chunk by a getter at each use, which a visit
// pays for. All that is imported is there at once: esbuild makes no circle of chunks, and nothing that is exported is another value later.
import { compileFunction } from 'node:vm';

/** Throws where something is left that is no CommonJS. Lines stay lines. It loads by what is called `loader`, which `first` may declare. */
export function commonJs(text, loader = 'require', first = '') {
  let needed = first;
  let exported = '';
  const body = text
    .replaceAll(IMPORT, (statement, all, names, from) => {
      needed += `${binding(all, names)}${loader}(${from});`;
      return newlinesOf(statement);
    })
    .replace(EXPORT, (statement, names) => {
      exported = names.split(',').map(exportOf).join('');
      return newlinesOf(statement);
    })
    .replace(/(?<=^|[;}\n])export\s+default\b/, 'exports.default=') // of a package that is CommonJS itself
    .replaceAll(ON_DEMAND, `Promise.resolve().then(()=>${loader}($1))`);
  if (URL.test(body)) needed += 'const import_meta_url=require("node:url").pathToFileURL(__filename).href;';
  for (const [name, statement] of ACCESSORS) if (new RegExp(`(?<![.\\w$])${name}\\b`).test(body)) needed += statement;
  const code = `"use strict";${needed}${body}${exported}\n`;
  // Nothing at the top may have a name that is CommonJS's.
  compileFunction(`"use strict";let exports,require,module,__filename,__dirname;${code}`);
  if (/\bimport\(\s*["'`]\./.test(code)) throw new Error('a file imports on demand in another way');
  return code;
}

const IMPORT =
  /(?<=^|[;}\n])\s*import\s*(?:\*\s*as\s+([\w$]+)\s*from\s*|\{([\w$,\s]*)\}\s*from\s*)?("(?:node:|\.\/)[^"\s]*")\s*;/g;
const EXPORT = /\bexport\s*\{([\w$,\s]*)\}\s*;\s*$/;
const ON_DEMAND = /\bimport\(\s*("(?:node:|\.\/)[^"\s]*")\s*\)/g;

/** Globals of Node.js that are accessors: each use would call a function, which V8 does not know beforehand. A visit has some fifty of them. */
const ACCESSORS = [
  ['Buffer', 'const{Buffer}=require("node:buffer");'],
  ['performance', 'const{performance}=require("node:perf_hooks");'],
  ['process', 'const process=require("node:process");'],
];

/** What `import.meta` has of a file, by names that CommonJS has, too, but for the last one: `define` of esbuild. */
export const PLACES = {
  'import.meta.filename': '__filename',
  'import.meta.dirname': '__dirname',
  'import.meta.url': 'import_meta_url',
};
const URL = /\bimport_meta_url\b/;

function binding(all, names) {
  if (names !== undefined) return `const{${names.replaceAll(/\s+as\s+/g, ':').replaceAll(/\s/g, '')}}=`;
  return all === undefined ? '' : `const ${all}=`;
}

/** One for each, which is how Node.js finds out what an ECMAScript module can import. */
function exportOf(name) {
  const [own, outside = own] = name.trim().split(/\s+as\s+/);
  return `exports.${outside}=${own};`;
}

function newlinesOf(text) {
  return text.replaceAll(/[^\n]/g, '');
}
