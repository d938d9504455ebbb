/** One thing that an installation makes so; a plan is a list of them, and one that is so already costs nothing. */
export type Step =
  | {
      readonly type: 'directory';
      readonly path: string;
      readonly mode: number;
      readonly owner: string;
      readonly group: string;
    }
  /** `content` null: only its owner and mode are seen to. */
  | {
      readonly type: 'file';
      readonly path: string;
      readonly mode: number;
      readonly owner: string;
      readonly group: string;
      readonly content: string | null;
    }
  | { readonly type: 'remove'; readonly path: string }
  | { readonly type: 'user'; readonly name: string; readonly home: string }
  | { readonly type: 'command'; readonly argv: readonly string[]; readonly why: string };
