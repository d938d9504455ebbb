import { readRegularFile } from './read-file.ts';

/**
 * Reads a small JSON file of ours. Where it is no JSON, the error does not quote it as JSON.parse() would: a link may
 * have led to a confidential file.
 */
export function readJsonFile(path: string, limit: number): unknown {
  const text = readRegularFile(path, limit).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it is not JSON');
  }
}
