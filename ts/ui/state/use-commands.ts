/** Keys, for the part of the page that knows what to do. */
import { useLayoutEffect, useRef } from 'preact/hooks';
import { type Command, commandOf, type Focus } from '../keys.js';

export type Handlers = Partial<Record<Command, () => void>>;

export function useCommands(handlers: Handlers): void {
  const latest = useRef(handlers);
  latest.current = handlers;
  // At once: what is drawn is what keys are about.
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.defaultPrevented) return;
      const target = event.target instanceof Element ? event.target : null;
      const command = commandOf(event, focusOf(target));
      const handler = command && latest.current[command];
      if (!handler) return;
      event.preventDefault();
      handler();
    };
    document.addEventListener('keydown', pressed);
    return () => document.removeEventListener('keydown', pressed);
  }, []);
}

function focusOf(target: Element | null): Focus {
  if (!target) return 'page';
  if (target.closest('dialog')) return 'dialog';
  if (target.closest('input:not([type=checkbox], [type=radio]), textarea, select')) return 'field';
  return target.closest('[data-scroll], [role=tablist], [type=radio]') ? 'scroll' : 'page';
}
