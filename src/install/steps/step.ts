/** One step of an installation. A plan is a list of them; a step that is applied already is skipped. */
export type Step =
  | ({ readonly type: 'directory'; readonly path: string } & Rights)
  /** `content` null: only owner and mode are set. */
  | ({ readonly type: 'file'; readonly path: string; readonly content: string | null } & Rights)
  | { readonly type: 'remove'; readonly path: string }
  | { readonly type: 'user'; readonly name: string; readonly home: string }
  | { readonly type: 'command'; readonly argv: readonly string[]; readonly why: string };

export interface Rights {
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
}
