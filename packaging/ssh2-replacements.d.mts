export interface Replacement {
  readonly file: string;
  readonly for: string;
  readonly find: string;
  readonly put: string;
}
export const REPLACEMENTS: readonly Replacement[];
export const REPLACED_FILES: readonly string[];
export function replaced(file: string, text: string, replacements?: readonly Replacement[]): string;
export function replacedFile(folder: string, path: string, text?: string): string;
