import { parseDocument } from 'yaml';
import { readJump } from '../config/schema/jump.ts';
import { UserError } from '../lib/user-error.ts';
import { bracketed, formatAddress } from '../model/endpoint.ts';
import type { EditedValue } from './edit-config.ts';

/** Keys of one of several servers of a tunnel. */
export type EntryEdit = Readonly<Partial<Record<'host' | 'user' | 'hostKeyAlias' | 'identityFile', string>>> & {
  readonly port?: number;
};

/**
 * The value of `servers` of a tunnel in a configuration, with each entry as `edit` wants it; null keeps one. Those of the defaults become
 * the tunnel's own.
 */
export function serversWith(text: string, tunnel: string, edit: (index: number) => EntryEdit | null): EditedValue {
  const written = writtenServers(text, tunnel);
  const edited = (entries: readonly EditedValue[]) =>
    entries.map((entry, index) => {
      const keys = edit(index);
      return keys === null ? entry : editedEntry(entry, keys);
    });
  if (isList(written)) return edited(written);
  return Object.fromEntries(
    Object.entries(written).map(([key, value]) => [key, isList(value) ? edited(value) : value] as const),
  );
}

/** One entry of them, as it is with these keys. */
export function serverWith(text: string, tunnel: string, index: number, edit: EntryEdit): EditedValue {
  const written = serversWith(text, tunnel, () => null);
  const entries = isList(written) ? written : Object.values(written as object).find(isList);
  return editedEntry(entries![index]!, edit);
}

interface Written {
  readonly servers?: readonly EditedValue[] | Readonly<Record<string, EditedValue>>;
}

function writtenServers(text: string, tunnel: string): NonNullable<Written['servers']> {
  const { tunnels, defaults } = parseDocument(text).toJS() as {
    readonly tunnels?: Readonly<Record<string, Written | null>>;
    readonly defaults?: Written | null;
  };
  const found = tunnels?.[tunnel]?.servers ?? defaults?.servers;
  if (found === undefined)
    throw new UserError(`the servers of ${tunnel} are not written as a list in this file: change them by hand`);
  return found;
}

function isList(value: EditedValue): value is readonly EditedValue[] {
  return Array.isArray(value);
}

/** `[user@]host[:port]` stays so, where it can have all of the keys. */
function editedEntry(entry: EditedValue, edit: EntryEdit): EditedValue {
  if (typeof entry !== 'string') return { ...(entry as Readonly<Record<string, EditedValue>>), ...defined(edit) };
  const { host, user, port } = readJump(entry);
  const whole = { host, ...(user === undefined ? {} : { user }), ...(port === undefined ? {} : { port }), ...edit };
  if (whole.hostKeyAlias !== undefined || whole.identityFile !== undefined) return defined(whole);
  const at = whole.user === undefined ? '' : `${whole.user}@`;
  if (whole.port !== undefined) return at + formatAddress({ host: whole.host, port: whole.port });
  return at + bracketed(whole.host);
}

function defined(keys: EntryEdit): Readonly<Record<string, EditedValue>> {
  return Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined));
}

/** Whether an entry of `servers` has a key of its own. */
export function entryHas(text: string, tunnel: string, index: number, key: 'user' | 'identityFile'): boolean {
  const entry = serverWith(text, tunnel, index, {});
  return typeof entry === 'string'
    ? key === 'user' && readJump(entry).user !== undefined
    : Object.hasOwn(entry as object, key);
}
