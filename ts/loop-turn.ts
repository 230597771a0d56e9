/**
 * Turns of the event loop, for work that is worth a millisecond. Many that arrive at once would else be worked off in
 * a row, and every answer that is on its way would stand still meanwhile. One queue for all, as there is one loop.
 */
const waiting: (() => void)[] = [];
let isTaken = false;

/**
 * Resolves when nobody else who asked here works in this turn of the loop: at once when it is free, else in order
 * of asking.
 */
export function loopTurn(): Promise<void> {
  if (isTaken) return new Promise((resolve) => waiting.push(resolve));
  take();
  return Promise.resolve();
}

function take(): void {
  isTaken = true;
  setImmediate(() => {
    const next = waiting.shift();
    if (next) take();
    else isTaken = false;
    next?.();
  });
}
