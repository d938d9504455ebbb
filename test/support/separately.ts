import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export interface Separate {
  /** Node.js, with the flags that it needs to import the module. */
  readonly node: readonly string[];
  readonly file: string;
  readonly url: string;
}

/**
 * For a process of its own: a module by its path from the root. Where the tests are compiled it is what compile.mjs has made of it, which finds
 * it by the call here: tsx, which compiles it in that process, takes four times as long.
 */
export function separately(path: string): Separate {
  const isCompiled = process.argv[1]?.endsWith('.js') === true;
  const file = isCompiled
    ? join(root, 'node_modules/.cache/tunneld-tests', path.replace(/\.ts$/, '.js'))
    : join(root, path);
  const node = isCompiled ? [process.execPath] : [process.execPath, '--import', 'tsx'];
  return { node, file, url: pathToFileURL(file).href };
}
