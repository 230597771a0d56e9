import { describe, expect, it } from 'vitest';
import { commandOf, type Focus, type Pressed } from '../../../ts/ui/keys.js';

const pressed = (key: string, more: Partial<Pressed> = {}): Pressed => ({
  key,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  repeat: false,
  ...more,
});

describe('keys', () => {
  it.each([
    ['j', 'next'],
    ['ArrowDown', 'next'],
    ['k', 'previous'],
    ['ArrowUp', 'previous'],
    ['a', 'approve'],
    ['e', 'edit'],
    ['r', 'reject'],
    ['x', 'abort'],
    ['?', 'help'],
    ['Escape', 'back'],
    ['q', undefined],
  ])('%s is %s', (key, command) => {
    expect(commandOf(pressed(key), 'page')).toBe(command);
  });

  it('decide nothing while one writes or has a dialog open', () => {
    for (const key of ['j', 'k', 'a', 'e', 'r', 'x', '?', 'ArrowDown'])
      for (const focus of ['field', 'dialog'] satisfies Focus[])
        expect(commandOf(pressed(key), focus)).toBeUndefined();
    expect(commandOf(pressed('Escape'), 'field')).toBe('back');
  });

  it('decide nothing when they are held down, and belong to the browser with its own keys', () => {
    expect(commandOf(pressed('a', { repeat: true }), 'page')).toBeUndefined();
    expect(commandOf(pressed('j', { repeat: true }), 'page')).toBe('next');
    for (const key of ['ctrlKey', 'metaKey', 'altKey'])
      expect(commandOf(pressed('a', { [key]: true }), 'page')).toBeUndefined();
  });

  it('scroll what scrolls by itself', () => {
    expect(commandOf(pressed('ArrowDown'), 'scroll')).toBeUndefined();
    expect(commandOf(pressed('j'), 'scroll')).toBe('next');
  });
});
