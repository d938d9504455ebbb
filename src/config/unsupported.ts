import type { z } from 'zod';
import { BadValue, value } from './value.ts';

/** Keys that this version does not serve, with the values that ask for what it does anyway. */
export const UNSUPPORTED_KEYS = {
  verify: refuse('off'),
};

/** To ignore such a key silently would promise what is not done. */
function refuse(...harmless: readonly (string | boolean)[]): z.ZodType<undefined> {
  return value((raw) => {
    if (harmless.some((value) => value === raw)) return undefined;
    const [word] = harmless;
    const advice = word === undefined ? 'remove it' : `remove it or write ${String(word)}`;
    throw new BadValue(`is not supported by this version: ${advice}`);
  });
}
