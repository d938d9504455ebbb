import { defaultText, type Option } from '../../model/options.ts';
import { printValue } from './print-value.ts';

/** The default of an option, as text for users. */
export function describeDefault(option: Option): string {
  const text = defaultText(option);
  if (text !== null) return text;
  const value = printValue(option.kind, option.default);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.join(', ') || 'none';
  if (typeof value !== 'object' || value === null) return String(value);
  return `{ ${Object.entries(value)
    .map(([key, part]) => `${key}: ${String(part)}`)
    .join(', ')} }`;
}
