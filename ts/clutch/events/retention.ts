/** Events that nobody is to need any more are deleted now and then, in small steps. */
import { loopTurn } from '../../loop-turn.js';
import type { Storage } from '../../storage/storage.js';
import type { WallClock } from '../../storage/wall-clock.js';
import { deleteEvents, forgetBusesBefore, oldestEvent } from '../store/events.js';

export interface RetentionOptions {
  readonly storage: Storage;
  readonly clock: WallClock;
  /** The last so many events stay. */
  readonly keep: number;
  readonly onWarning: (error: unknown) => void;
}

/** Events of one transaction. */
const step = 1000;
/** A process that has recorded nothing for so long repeats no commit any more. */
const longestSilenceMs = 7 * 86_400_000;

export class Retention {
  readonly #options: RetentionOptions;
  /** Not before this one may be deleted is it worth another look. */
  #due = 1;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /** @param last the last event that there is */
  async look(last: number): Promise<void> {
    const { keep, onWarning } = this.#options;
    const end = last - keep;
    if (end < this.#due) return;
    this.#due = end + Math.max(1, Math.floor(keep / 10));
    await this.#delete(end).catch(onWarning);
  }

  async #delete(end: number): Promise<void> {
    const { storage, clock } = this.#options;
    const oldest = await storage.read(oldestEvent);
    for (let next = oldest; next <= end; next += step) {
      await loopTurn();
      await storage.write(() => deleteEvents(Math.min(next + step - 1, end)));
    }
    await storage.write(function* () {
      yield* forgetBusesBefore((yield* clock.now()) - longestSilenceMs);
    });
  }
}
