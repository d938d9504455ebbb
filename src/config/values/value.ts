import * as z from 'zod/mini';
import { escapeControls, printable } from '../../lib/text.ts';

/** An invalid value. The message continues a sentence that begins with the key: "must be yes or no". */
export class BadValue extends Error {}

/** The schema of a value that `read` parses; a BadValue of `read` becomes a problem at that value. */
export function value<T>(read: (raw: unknown) => T): z.ZodMiniType<T> {
  return transformed(z.unknown(), (raw, context) => {
    try {
      return read(raw);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      return refuse(context, error.message, raw);
    }
  });
}

/** Adds an issue, and stands for the value that there is not. */
export function refuse(context: z.core.ParsePayload, message: string, input: unknown): never {
  context.issues.push({ code: 'custom', message, input });
  return z.NEVER;
}

/** The same with the issues that another schema found in this input. */
export function refuseBy(context: z.core.ParsePayload, { issues }: z.core.$ZodError, input: unknown): never {
  context.issues.push(...issues.map((issue) => ({ ...issue, input }) as z.core.$ZodRawIssue));
  return z.NEVER;
}

/** The schema of one value or a list of them. */
export function oneOrMany<T>(item: z.ZodMiniType<T>): z.ZodMiniType<T[]> {
  return preprocessed((raw) => (Array.isArray(raw) ? raw : [raw]), z.array(item));
}

/** The schema of the result of `change` for a value that `schema` accepts; `change` may add issues. */
export function transformed<T, U>(
  schema: z.ZodMiniType<T>,
  change: (value: T, context: z.core.ParsePayload) => U,
): z.ZodMiniType<U> {
  return z.pipe(schema, z.transform(change)) as z.ZodMiniType<U>;
}

/** The schema of a value that `schema` accepts after `change`. */
export function preprocessed<T>(change: (raw: unknown) => unknown, schema: z.ZodMiniType<T>): z.ZodMiniType<T> {
  return z.pipe(z.transform(change), schema);
}

/** Text on one line. */
export function readText(raw: unknown): string {
  if (isEmpty(raw)) throw new BadValue('is empty');
  if (typeof raw === 'number' || typeof raw === 'boolean') throw new BadValue('must be text: put the value in quotes');
  if (typeof raw !== 'string') throw new BadValue(`must be one value, not ${show(raw)}`);
  if (CONTROL.test(raw)) throw new BadValue('must not contain line breaks or control characters');
  // Invisible characters come with pasted text.
  if (escapeControls(raw) !== raw)
    throw new BadValue(`has an invisible character: '${printable(raw, 80)}'; type it again`);
  return raw;
}

// oxlint-disable-next-line no-control-regex -- finding control characters is the purpose
const CONTROL = /[\u0000-\u001f\u007f]/;

/** A name (a user, an alias) without spaces that does not look like an option. */
export function readWord(raw: unknown): string {
  const text = readText(raw);
  if (/\s/.test(text) || text.startsWith('-')) throw new BadValue('must be one word that does not start with -');
  return text;
}

/** A boolean of YAML, or yes or no as in ssh_config. */
export function readYesNo(raw: unknown): boolean {
  if (isEmpty(raw)) throw new BadValue('is empty');
  const word = String(raw).toLowerCase();
  if (word === 'yes' || word === 'true') return true;
  if (word === 'no' || word === 'false') return false;
  throw new BadValue(`must be yes or no, not ${show(raw)}`);
}

/** A whole number, also in quotes. */
export function readInteger(min: number, max: number): (raw: unknown) => number {
  return (raw) => {
    if (isEmpty(raw)) throw new BadValue('is empty');
    const number = typeof raw === 'string' && /^\d+$/.test(raw) ? Number(raw) : raw;
    if (typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max) return number;
    throw new BadValue(`must be a whole number from ${min} to ${max}, not ${show(raw)}`);
  };
}

export function readOneOf<const T extends string>(words: readonly T[]): (raw: unknown) => T {
  return (raw) => {
    if (isEmpty(raw)) throw new BadValue('is empty');
    const found = words.find((word) => word === raw);
    if (found === undefined) throw new BadValue(`must be one of ${words.join(', ')}, not ${show(raw)}`);
    return found;
  };
}

export function isEmpty(raw: unknown): boolean {
  return raw === null || raw === undefined || raw === '';
}

export function isMapping(raw: unknown): raw is Record<string, unknown> {
  return typeof raw === 'object' && raw !== null && !Array.isArray(raw);
}

/** A value for a message: short, escaped for a terminal, and never the content of a list or a mapping. */
export function show(raw: unknown): string {
  if (typeof raw === 'string') return `'${printable(raw, 40)}'`;
  if (typeof raw === 'number' || typeof raw === 'boolean') return String(raw);
  return Array.isArray(raw) ? 'a list' : 'a mapping';
}
