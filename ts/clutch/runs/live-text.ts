/** What a model says, as events: many words in one, so that a fast model does not flood those who look on. */
import type { EventBus } from '../events/event-bus.js';
import type { ProviderEvent } from '../providers/provider.js';

const gatherMs = 100;

export class LiveText {
  readonly #bus: Pick<EventBus, 'emit' | 'recorded'>;
  readonly #runId: string;
  #text = '';
  #reasoning = '';
  #timer: NodeJS.Timeout | undefined;
  /** Fails with the first that cannot be told. */
  #told: Promise<void> = Promise.resolve();

  constructor(bus: Pick<EventBus, 'emit' | 'recorded'>, runId: string) {
    this.#bus = bus;
    this.#runId = runId;
  }

  add(event: ProviderEvent): void {
    if (event.type === 'retry') {
      // What has not been told yet need not be.
      this.#text = '';
      this.#reasoning = '';
      const { attempt, waitMs, reason } = event;
      const body = { attempt, wait_ms: Math.round(waitMs), reason };
      this.#tell(() => this.#bus.emit({ type: 'text_reset', run_id: this.#runId, body }));
      return;
    }
    if (event.type === 'text') this.#text += event.text;
    else this.#reasoning += event.text;
    this.#timer ??= setTimeout(() => this.#flush(), gatherMs).unref();
  }

  /** All that was said is recorded. @throws what the bus throws */
  async end(): Promise<void> {
    this.#flush();
    await this.#told;
    await this.#bus.recorded();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#tell(async () => {
      const body = { text: this.#text, reasoning: this.#reasoning };
      if (body.text === '' && body.reasoning === '') return;
      this.#text = '';
      this.#reasoning = '';
      await this.#bus.emit({ type: 'text', run_id: this.#runId, body });
    });
  }

  #tell(work: () => Promise<void>): void {
    this.#told = this.#told.then(work);
    // `end` tells of it; until then nobody waits.
    this.#told.catch(() => undefined);
  }
}
