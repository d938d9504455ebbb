import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The address of the JSON Schema for editors: beside the program, in a package as in a clone. Null where it was not built. */
export function schemaUrl(program: string): string | null {
  try {
    const file = join(dirname(realpathSync(program)), 'tunneld.schema.json');
    return existsSync(file) ? pathToFileURL(file).href : null;
  } catch {
    return null;
  }
}
