import { createHash } from 'node:crypto';
import type { ParsedKey } from 'ssh2';
import type { TunnelSpec } from '../../model/spec.ts';
import { openKey } from './open-key.ts';

/**
 * Remembers, from one attempt to the next: keys, because decrypting one at every attempt costs too much (an entry
 * stands for exactly these bytes and this passphrase, so that a repaired or replaced file is noticed at once, failures
 * included); and notes, because each is worth one warning and not one a minute.
 */
export interface IdentityCache {
  /** As openKey(). `passphraseFile` distinguishes tunnels that open one file in different ways. */
  open(bytes: Buffer, passphrase: string | null, path: string, passphraseFile: string | null): Promise<ParsedKey>;
  /** Forgets the keys of a file that may no longer be used. */
  drop(path: string): void;
  /** Those of these notes that are new since the last attempt; `whose` begins with the tunnel's name and a space. */
  newNotes(whose: string, notes: readonly string[]): readonly string[];
  /** Forgets everything that these tunnels do not need: no secret stays in memory without a use. */
  retain(tunnels: readonly Pick<TunnelSpec, 'name' | 'identityFiles' | 'jumps'>[]): void;
}

export function createIdentityCache(): IdentityCache {
  const keys = new Map<string, Entry>();
  const notesOf = new Map<string, readonly string[]>();

  const keep = (wanted: (entry: Entry) => boolean) => {
    for (const [id, entry] of keys) if (!wanted(entry)) keys.delete(id);
  };

  return {
    open: (bytes, passphrase, path, passphraseFile) => {
      const digest = digestOf(bytes, passphrase);
      const id = `${path}\0${passphraseFile ?? ''}`;
      let entry = keys.get(id);
      if (entry?.digest !== digest) {
        entry = { path, digest, key: openKey({ bytes, passphrase, path }) };
        keys.set(id, entry);
      }
      return entry.key;
    },
    drop: (path) => keep((entry) => entry.path !== path),
    newNotes: (whose, notes) => {
      const known = notesOf.get(whose) ?? [];
      notesOf.set(whose, notes);
      return notes.filter((note) => !known.includes(note));
    },
    retain: (tunnels) => {
      const paths = new Set(
        tunnels.flatMap(({ identityFiles, jumps }) => [
          ...identityFiles,
          ...jumps.flatMap((jump) => jump.identityFiles),
        ]),
      );
      keep((entry) => paths.has(entry.path));
      const names = new Set(tunnels.map((tunnel) => tunnel.name));
      for (const whose of notesOf.keys()) if (!names.has(whose.split(' ', 1)[0] ?? '')) notesOf.delete(whose);
    },
  };
}

interface Entry {
  readonly path: string;
  readonly digest: string;
  /** Rejected for a key that cannot be opened, which is not tried again. */
  readonly key: Promise<ParsedKey>;
}

function digestOf(bytes: Buffer, passphrase: string | null): string {
  const hash = createHash('sha256').update(`${bytes.length}\0`).update(bytes);
  return (passphrase === null ? hash : hash.update(`\0${passphrase}`)).digest('base64');
}
