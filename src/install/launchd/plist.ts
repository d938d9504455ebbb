import { UserError } from '../../lib/user-error.ts';

type PlistValue = string | number | boolean | readonly PlistValue[] | PlistDict;

export interface PlistDict {
  readonly [key: string]: PlistValue;
}

/** A property list as XML (plist(5)). `comments` are written above the keys of the outermost dictionary that have their names. */
export function renderPlist(header: string, dict: PlistDict, comments: Readonly<Record<string, string>>): string {
  const entries = Object.entries(dict).flatMap(([key, value]) => {
    const comment = comments[key];
    return [...(comment === undefined ? [] : [`\t<!-- ${comment} -->`]), ...entry(key, value, '\t')];
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    `<!--\n${header.trimEnd()}\n-->`,
    '<plist version="1.0">',
    '<dict>',
    ...entries,
    '</dict>',
    '</plist>',
    '',
  ].join('\n');
}

function entry(key: string, value: PlistValue, indent: string): string[] {
  return [`${indent}<key>${text(key)}</key>`, ...lines(value, indent)];
}

function lines(value: PlistValue, indent: string): string[] {
  const inner = `${indent}\t`;
  if (typeof value === 'string') return [`${indent}<string>${text(value)}</string>`];
  if (typeof value === 'boolean') return [`${indent}<${value}/>`];
  if (typeof value === 'number') return [`${indent}<integer>${Math.trunc(value)}</integer>`];
  if (isList(value)) return [`${indent}<array>`, ...value.flatMap((one) => lines(one, inner)), `${indent}</array>`];
  const entries = Object.entries(value).flatMap(([key, one]) => entry(key, one, inner));
  return [`${indent}<dict>`, ...entries, `${indent}</dict>`];
}

function isList(value: readonly PlistValue[] | PlistDict): value is readonly PlistValue[] {
  return Array.isArray(value);
}

/** XML 1.0 cannot express most control characters, nor UTF-8 a lone surrogate; an unescaped carriage return is parsed as a newline. */
function text(value: string): string {
  if (NOT_XML.test(value)) {
    throw new UserError(`${JSON.stringify(value)} has characters that a property list cannot hold: rename it`);
  }
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\r', '&#13;');
}

const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff\p{Surrogate}]/u;
