/**
 * Takes in request bodies, each up to the limit of its route, and all that are arriving up to a sum: clients that
 * send slowly or stop would fill the memory otherwise. Those that have arrived are counted to the end of their
 * responses, for what was made of them is kept while their turns wait. One per server; main thread only.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { StompError } from '../../errors.js';

/** Bytes of all bodies that are arriving. */
const MAX_ARRIVING_BYTES = 256 << 20;

/** Bytes of all bodies whose responses have not ended. Prompts take a few times as much. */
const MAX_HELD_BYTES = 512 << 20;
/** Counted, but always taken: whoever ends turns, or watches, gets through. */
const SMALL_BYTES = 64 << 10;

export interface BodyLimits {
  /** @default 256 MB */
  readonly arrivingBytes?: number | undefined;
  /** @default 512 MB */
  readonly heldBytes?: number | undefined;
}

/** As it comes off the wire, or as somebody before has read it. */
type Body = Readable & { readonly headers?: IncomingHttpHeaders };

interface Arrival {
  bytes: number;
  readonly chunks: Buffer[];
  refuse(error: StompError): void;
}

export class Bodies {
  readonly #maxBytes: number;
  readonly #arriving = new Set<Arrival>();
  #bytes = 0;
  readonly #maxHeldBytes: number;
  /** By request. */
  readonly #held = new Map<object, number>();
  #heldBytes = 0;
  /** Requests whose responses have ended; their bodies may come later, where somebody else has read them. */
  readonly #over = new WeakSet<object>();

  constructor({ arrivingBytes, heldBytes }: BodyLimits = {}) {
    this.#maxBytes = arrivingBytes ?? MAX_ARRIVING_BYTES;
    this.#maxHeldBytes = heldBytes ?? MAX_HELD_BYTES;
  }

  /** Of the bodies that are arriving. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Of the bodies that have arrived. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * The body as text, which is counted until the request is released.
   * @throws StompError PAYLOAD_TOO_LARGE, QUEUE_FULL when this is the largest of too many, or too many have not been
   *   answered, INVALID_REQUEST when it is not UTF-8 or ends early.
   */
  async read(request: object, payload: Body, limitBytes: number): Promise<string> {
    const announced = Number(payload.headers?.['content-length'] ?? 0);
    if (announced > limitBytes) throw tooLarge(limitBytes);
    // Its client went while the request waited: nothing would ever come.
    if (payload.destroyed) throw endedEarly();
    const bytes = await this.#collect(payload, limitBytes);
    this.#hold(request, bytes.length);
    return decode(bytes);
  }

  /** The response has ended. May be called again. */
  release(request: object): void {
    this.#heldBytes -= this.#held.get(request) ?? 0;
    this.#held.delete(request);
    this.#over.add(request);
  }

  #hold(request: object, bytes: number): void {
    if (this.#over.has(request)) return;
    const isMuch = bytes > SMALL_BYTES && this.#heldBytes > 0;
    if (isMuch && this.#heldBytes + bytes > this.#maxHeldBytes) {
      const message = 'Too many large requests wait for their answers; try again later.';
      throw new StompError('QUEUE_FULL', message, { fields: { field: 'body' } });
    }
    this.#held.set(request, bytes);
    this.#heldBytes += bytes;
  }

  #collect(payload: Body, limitBytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void): void => {
        if (!this.#arriving.delete(arrival)) return;
        this.#bytes -= arrival.bytes;
        payload.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone);
        finish();
      };
      const arrival: Arrival = {
        bytes: 0,
        chunks: [],
        refuse: (error) => settle(() => reject(error)),
      };
      const onData = (chunk: Buffer): void => {
        arrival.chunks.push(chunk);
        arrival.bytes += chunk.length;
        this.#bytes += chunk.length;
        if (arrival.bytes > limitBytes) arrival.refuse(tooLarge(limitBytes));
        else if (this.#bytes > this.#maxBytes) this.#refuseLargest();
      };
      const onEnd = (): void => settle(() => resolve(Buffer.concat(arrival.chunks, arrival.bytes)));
      const onGone = (): void => arrival.refuse(endedEarly());
      this.#arriving.add(arrival);
      payload.on('data', onData).once('end', onEnd).once('error', onGone).once('close', onGone);
    });
  }

  /** Those who send little get through. */
  #refuseLargest(): void {
    const [largest] = [...this.#arriving].sort((a, b) => b.bytes - a.bytes);
    largest?.refuse(
      new StompError(
        'QUEUE_FULL',
        'Too many large requests are arriving at the same time; try again later.',
        {
          fields: { field: 'body' },
        },
      ),
    );
  }
}

function decode(bytes: Buffer): string {
  try {
    // Fatal and without a byte order mark: JSON has neither broken characters nor a mark.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new StompError('INVALID_REQUEST', 'The body is not UTF-8.', {
      cause,
      fields: { field: 'body', allowed: 'JSON in UTF-8' },
    });
  }
}

function endedEarly(): StompError {
  return new StompError('INVALID_REQUEST', 'The body ended early.');
}

function tooLarge(limitBytes: number): StompError {
  return new StompError(
    'PAYLOAD_TOO_LARGE',
    `The request body is larger than the ${limitBytes} bytes that are taken here.`,
    { fields: { field: 'body', max_bytes: limitBytes } },
  );
}
