import { register } from 'tsx/esm/api';

/** A module of src as it is, by its path in there; those that it imports are loaded once for all. */
export async function importSource(path) {
  unregister ??= register();
  return await import(new URL(`../src/${path}`, import.meta.url).href);
}

let unregister = null;
