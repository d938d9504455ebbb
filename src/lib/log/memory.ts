import { createEmitter } from '../async/emitter.ts';

/** The most recent log lines, bounded in number and size, with subscribers for new ones. */
export interface LogMemory {
  add(line: string): void;
  /** The last lines that pass, oldest first. */
  recent(count: number, accept: (line: string) => boolean): readonly string[];
  /** The result unsubscribes. */
  follow(listener: (line: string) => void): () => void;
}

export function createLogMemory(maxLines = 1000, maxCharacters = 256 * 1024): LogMemory {
  const lines: string[] = [];
  const added = createEmitter<[line: string]>();
  let characters = 0;
  return {
    add: (line) => {
      lines.push(line);
      characters += line.length;
      while (lines.length > 1 && (lines.length > maxLines || characters > maxCharacters)) {
        characters -= lines.shift()!.length;
      }
      added.emit(line);
    },
    recent: (count, accept) => (count === 0 ? [] : lines.filter(accept).slice(-count)),
    follow: added.subscribe,
  };
}
