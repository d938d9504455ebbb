import { readFile } from 'node:fs/promises';

/** The files of the page as they are sent, by their path. */
export interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

const TYPES = {
  'index.html': 'text/html; charset=utf-8',
  'page.css': 'text/css; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
  'icon-bad.svg': 'image/svg+xml',
} as const;

export type AssetName = keyof typeof TYPES;

export const ASSET_NAMES = Object.keys(TYPES) as AssetName[];

/** Reads each file of the page when it is wanted for the first time; it then stays in memory. Rejects where it cannot be read. */
export function createAssets(): (name: AssetName) => Promise<Asset> {
  const read = new Map<AssetName, Promise<Asset>>();
  return (name) => {
    const known = read.get(name) ?? readAsset(name);
    read.set(name, known);
    known.catch(() => read.delete(name));
    return known;
  };
}

async function readAsset(name: AssetName): Promise<Asset> {
  return { type: TYPES[name], body: await readFile(new URL(name, FOLDER)) };
}

/** Beside the bundle's chunks; the sources use what was built last. */
const FOLDER = new URL(import.meta.url.endsWith('.ts') ? '../../../dist/page/' : '../page/', import.meta.url);
