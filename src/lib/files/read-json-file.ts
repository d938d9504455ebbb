import { readRegularFile } from './read-file.ts';

/**
 * What a small file of ours holds. Throws where that is no JSON, and then says nothing of it: a link may have led to what nobody is to
 * see, and JSON.parse() quotes it.
 */
export function readJsonFile(path: string, limit: number): unknown {
  const text = readRegularFile(path, limit).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it is not JSON');
  }
}
