/** How often what has happened here since the process began, for metrics. */

const names = [
  'sessions_started',
  'sessions_ended',
  'sessions_expired',
  'projects_set',
  'conflicts',
  'conflicts_resolved',
  'conflicts_given_up',
  'entries_appended',
] as const;

/** What is counted. */
export type ContextFigure = (typeof names)[number];

/** What takes time worth knowing. */
export type ContextTask = 'switch' | 'append' | 'query';

/** Is told how long a task took, also of one that failed. It must not take long. */
export type ContextObserver = (task: ContextTask, durationMs: number, failed: boolean) => void;

/** Counts and durations of one process. */
export class ContextFigures {
  readonly #counts = new Map<ContextFigure, number>(names.map((name) => [name, 0]));
  /** Replaces whoever is told of durations. */
  observer: ContextObserver | undefined;

  /** Adds to a count. */
  count(figure: ContextFigure, by = 1): void {
    this.#counts.set(figure, (this.#counts.get(figure) ?? 0) + by);
  }

  /** Runs a task and tells the observer how long it took. */
  async timed<T>(task: ContextTask, run: () => Promise<T>): Promise<T> {
    const began = performance.now();
    let failed = true;
    try {
      const result = await run();
      failed = false;
      return result;
    } finally {
      this.observer?.(task, performance.now() - began, failed);
    }
  }

  /** All counts, since the process began. */
  counts(): Readonly<Record<ContextFigure, number>> {
    return Object.fromEntries(this.#counts) as Record<ContextFigure, number>;
  }
}
