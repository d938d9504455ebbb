/**
 * A table of what comes and goes by the thousand, few at a time, by numbers that are used again. In place of a Map or a Set: each of those
 * moves into a new table again and again, and all that the old one led to V8 keeps until a full garbage collection, once that table is old.
 */
export interface Slots<T> {
  /** Returns the number of the entry: one that no other has, and a low one. */
  add(entry: T): number;
  get(number: number): T | undefined;
  /** Leaves the number alone where it is that of another entry than `entry` by now. */
  remove(number: number, entry?: T): void;
  count(): number;
  entries(): readonly (readonly [number: number, entry: T])[];
}

export function createSlots<T extends {}>(): Slots<T> {
  const slots: (T | undefined)[] = [];
  const free: number[] = [];
  return {
    add: (entry) => {
      const number = free.pop() ?? slots.length;
      slots[number] = entry;
      return number;
    },
    get: (number) => slots[number],
    remove: (number, entry = slots[number]) => {
      if (entry === undefined || slots[number] !== entry) return;
      slots[number] = undefined;
      free.push(number);
    },
    count: () => slots.length - free.length,
    entries: () => [...slots.entries()].filter((entry): entry is [number, T] => entry[1] !== undefined),
  };
}
