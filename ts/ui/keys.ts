/** What a key means. Pure. */

export type Command = 'next' | 'previous' | 'approve' | 'edit' | 'reject' | 'abort' | 'help' | 'back';

export interface Pressed {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  /** The key is held down. */
  readonly repeat: boolean;
}

/** Where the focus is. `scroll`: in something that arrows move by themselves. */
export type Focus = 'page' | 'scroll' | 'field' | 'dialog';

const letters: Readonly<Record<string, Command>> = {
  j: 'next',
  k: 'previous',
  a: 'approve',
  e: 'edit',
  r: 'reject',
  x: 'abort',
  '?': 'help',
  Escape: 'back',
};
const arrows: Readonly<Record<string, Command>> = { ArrowDown: 'next', ArrowUp: 'previous' };
const moves: readonly (Command | undefined)[] = ['next', 'previous'];

/** Nothing is decided by a key that is held down, or while one writes. */
export function commandOf(pressed: Pressed, focus: Focus): Command | undefined {
  if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || focus === 'dialog') return undefined;
  const command = letters[pressed.key] ?? (focus === 'page' ? arrows[pressed.key] : undefined);
  if (focus === 'field') return command === 'back' ? command : undefined;
  return pressed.repeat && !moves.includes(command) ? undefined : command;
}

/** For the help. */
export const keyHelp: readonly (readonly [keys: string, meaning: string])[] = [
  ['j or ↓', 'next approval'],
  ['k or ↑', 'previous approval'],
  ['a', 'approve what is shown, with your edits if there are any'],
  ['e', 'edit: to the first field'],
  ['r', 'reject, with a reason'],
  ['x', 'abort the run that asks'],
  ['Esc', 'leave a field; close what is open'],
  ['?', 'this help'],
];
