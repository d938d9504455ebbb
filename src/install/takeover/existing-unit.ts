import type { UnitState } from '../systemd/manager.ts';
import { oldCommand, type OldCommand, type UnitContext } from './old-unit.ts';
import { checksumState } from '../systemd/checksum.ts';
import { systemUnit } from '../systemd/unit-file.ts';

/** The unit that is installed as tunnel.service. */
export type Existing =
  | { readonly type: 'none' | 'ours' | 'edited' }
  /** A unit of the Debian package, not in /etc. */
  | { readonly type: 'packaged' }
  | { readonly type: 'ssh'; readonly command: OldCommand }
  /** It runs something else, for the reason in `why`. */
  | { readonly type: 'foreign'; readonly why: string };

/** Classifies the installed unit. `own` is the text at our path, `text` all that systemd has read (`systemctl cat`). */
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
    // Without a text the file was removed without a daemon-reload.
  } else if (state.load === 'not-found' || text === '') return { type: 'none' };
  else if (state.fragment === packagedUnit || /^ExecStart=\/usr\/bin\/tunneld run$/m.test(text))
    return { type: 'packaged' };
  // The file may be newer than the last daemon-reload.
  const command = oldCommand(text === '' ? (own ?? '') : text, context);
  return typeof command === 'string' ? { type: 'foreign', why: command } : { type: 'ssh', command };
}

/** Whether it is systemd/tunnel.service, installed by hand, with only the path of the program changed. */
function isCopied(text: string): boolean {
  const program = /^ExecStart=(.*) run$/m.exec(text)?.[1];
  return program !== undefined && [252, 253].some((systemd) => text === systemUnit({ program, systemd }));
}
