import type { UnitState } from '../systemd/manager.ts';
import { oldCommand, type OldCommand, type UnitContext } from './old-unit.ts';
import { checksumState } from '../systemd/checksum.ts';
import { systemUnit } from '../systemd/unit-file.ts';

/** What stands in the place of our unit. */
export type Existing =
  | { readonly type: 'none' | 'ours' | 'edited' }
  /** A package's, not in /etc. */
  | { readonly type: 'packaged' }
  | { readonly type: 'ssh'; readonly command: OldCommand }
  /** It runs something else, and `why` says what was not understood. */
  | { readonly type: 'foreign'; readonly why: string };

/** `own` is the text at our path, `text` what systemd has read altogether (`systemctl cat`). */
export function classifyUnit(
  own: string | null,
  text: string,
  state: Pick<UnitState, 'load' | 'fragment'>,
  packagedUnit: string | null,
  context: UnitContext,
): Existing {
  if (own !== null) {
    const checksum = checksumState(own);
    if (checksum !== 'none') return { type: checksum === 'intact' ? 'ours' : 'edited' };
    if (isCopied(own)) return { type: 'ours' };
    if (/^ExecStart=.*(?:tunneld|cli\.js) run(?:\s|$)/m.test(own)) return { type: 'edited' };
    // Without a text it was removed, and systemd was not told.
  } else if (state.load === 'not-found' || text === '') return { type: 'none' };
  else if (state.fragment === packagedUnit || /^ExecStart=\/usr\/bin\/tunneld run$/m.test(text))
    return { type: 'packaged' };
  // systemd may not have been told of it yet.
  const command = oldCommand(text === '' ? (own ?? '') : text, context);
  return typeof command === 'string' ? { type: 'foreign', why: command } : { type: 'ssh', command };
}

/** The unit of the sources, put there by hand with nothing but the path of the program changed. */
function isCopied(text: string): boolean {
  const program = /^ExecStart=(.*) run$/m.exec(text)?.[1];
  return program !== undefined && [252, 253].some((systemd) => text === systemUnit({ program, systemd }));
}
