import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { orElse } from '../../../lib/or-else.ts';

/** The address of the JSON Schema for editors: beside the program, in a package as in a clone. Null where it was not built. */
export function schemaUrl(program: string): string | null {
  const file = orElse(() => join(dirname(realpathSync(program)), 'tunneld.schema.json'), null);
  return file !== null && existsSync(file) ? pathToFileURL(file).href : null;
}
