import { isMap, isNode, isScalar, isSeq, type Node, type Pair, parseDocument, stringify, type YAMLMap } from 'yaml';
import { UserError } from '../lib/user-error.ts';

/** A value of a key, as YAML holds it. */
export type EditedValue = string | number | readonly EditedValue[] | { readonly [key: string]: EditedValue };

/**
 * Sets keys of one tunnel in a configuration; everything else, comments included, stays as it is written. Throws a UserError where the
 * tunnel is not written out in the file as a mapping.
 */
export function editTunnel(text: string, name: string, edit: Readonly<Record<string, EditedValue>>): string {
  let edited = text;
  for (const [key, value] of Object.entries(edit)) {
    const { tunnel } = find(edited, name);
    const before = tunnel.items.find((pair) => keyOf(pair) === key)?.value;
    edited = isNode(before) && before.range ? replaced(edited, before, value) : inserted(edited, tunnel, key, value);
  }
  return edited;
}

/** Adds a copy of a tunnel under another name, below it. */
export function copyTunnel(text: string, name: string, copy: string): string {
  const { key, tunnel } = find(text, name);
  const [start, end] = [key.range![0], tunnel.range![1]];
  const indent = indentOf(text, start);
  const body = text.slice(key.range![1], end).trimEnd();
  const at = start + text.slice(start, end).trimEnd().length;
  // In a flow mapping, or below it.
  const between = isFlow(text, start) ? ', ' : `\n${indent}`;
  return `${text.slice(0, at)}${between}${copy}${body}${text.slice(at)}`;
}

/** Takes out what copyTunnel() added. */
export function removeTunnel(text: string, name: string): string {
  const { key, tunnel } = find(text, name);
  const [start, end] = [key.range![0], tunnel.range![1]];
  const at = start + text.slice(start, end).trimEnd().length;
  const before = text.slice(0, start).replace(isFlow(text, start) ? /,\s*$/ : /\n[ \t]*$/, '');
  return before + text.slice(at);
}

function find(text: string, name: string): { readonly key: Node; readonly tunnel: YAMLMap } {
  const tunnels = parseDocument(text).get('tunnels');
  const pair = isMap(tunnels) ? tunnels.items.find((one) => keyOf(one) === name) : undefined;
  if (pair === undefined || !isNode(pair.key) || !pair.key.range || !isMap(pair.value) || !pair.value.range)
    throw new UserError(`the tunnel ${name} is not written as a mapping of keys in this file: change it by hand`);
  return { key: pair.key, tunnel: pair.value };
}

function keyOf({ key }: Pair): unknown {
  return isScalar(key) ? key.value : undefined;
}

/** Lists and mappings of the same shape keep their lines. */
function replaced(text: string, before: Node, value: EditedValue): string {
  if (isSeq(before) && Array.isArray(value) && before.items.length === value.length)
    return eachReplaced(text, before.items, value as readonly EditedValue[]);
  if (isMap(before) && typeof value === 'object' && !Array.isArray(value)) {
    const keys = before.items.map((pair) => String(keyOf(pair)));
    const values = value as Readonly<Record<string, EditedValue>>;
    if (keys.length === Object.keys(value).length && keys.every((key) => key in values))
      return eachReplaced(
        text,
        before.items.map((pair) => pair.value),
        keys.map((key) => values[key]!),
      );
  }
  const [start, end] = before.range!;
  return splice(text, [start, start + text.slice(start, end).trimEnd().length], flow(value));
}

/** From the last to the first, so that positions stay right. */
function eachReplaced(text: string, nodes: readonly unknown[], values: readonly EditedValue[]): string {
  return nodes.reduceRight<string>((edited, node, index) => {
    const value = values[index]!;
    return !isNode(node) || !node.range || (isScalar(node) && node.value === value)
      ? edited
      : replaced(edited, node, value);
  }, text);
}

/** Before the first key, in its line or above it. */
function inserted(text: string, tunnel: YAMLMap, key: string, value: EditedValue): string {
  const [first] = tunnel.items;
  const start = first !== undefined && isNode(first.key) && first.key.range ? first.key.range[0] : null;
  if (start === null) return splice(text, tunnel.range!, `{ ${key}: ${flow(value)} }`);
  const end = tunnel.flow === true ? ', ' : `\n${indentOf(text, start)}`;
  return splice(text, [start, start], `${key}: ${flow(value)}${end}`);
}

/** In one line. */
export function flow(value: EditedValue): string {
  const options = { collectionStyle: 'flow', lineWidth: 0, flowCollectionPadding: true } as const;
  return stringify(value, options).trimEnd();
}

function splice(text: string, range: readonly number[], instead: string): string {
  return text.slice(0, range[0]) + instead + text.slice(range[1]);
}

function indentOf(text: string, at: number): string {
  return ' '.repeat(at - (text.lastIndexOf('\n', at - 1) + 1));
}

/** Whether a key is not the first of its line. */
function isFlow(text: string, at: number): boolean {
  return text.slice(text.lastIndexOf('\n', at - 1) + 1, at).trim() !== '';
}
