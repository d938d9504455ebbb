// ssh2 with our replacements, for everything that runs from the sources: `import ssh2 from '#ssh2'`. A bundle does not contain this
// file: the build makes the same replacements.
import Module, { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import { replacedFile } from './ssh2-replacements.mjs';

const require = createRequire(import.meta.url);
const folder = dirname(require.resolve('ssh2/package.json'));

if (Object.keys(require.cache).some(isOfSsh2))
  throw new Error("ssh2 was loaded without its replacements: import it by `import ssh2 from '#ssh2'`");

const compile = Module.prototype._compile;
Module.prototype._compile = function (text, path, ...rest) {
  return compile.call(this, isOfSsh2(path) ? replacedFile(folder, path, text) : text, path, ...rest);
};

// As for a CommonJS package.
// oxlint-disable-next-line import/no-default-export
export default require('ssh2');

function isOfSsh2(path) {
  return path.startsWith(folder + sep) && path.endsWith('.js');
}
