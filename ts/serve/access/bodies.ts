/**
 * Takes in request bodies, each up to the limit of its route, and all that are arriving up to a sum: clients that
 * send slowly or stop would fill the memory otherwise. One per server; main thread only.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { StompError } from '../../errors.js';

/** Bytes of all bodies that are arriving. */
const MAX_ARRIVING_BYTES = 256 << 20;

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

  constructor(maxArrivingBytes = MAX_ARRIVING_BYTES) {
    this.#maxBytes = maxArrivingBytes;
  }

  /** Of the bodies that are arriving. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The body as text.
   * @throws StompError PAYLOAD_TOO_LARGE, QUEUE_FULL when this is the largest of too many, INVALID_REQUEST when it
   *   is not UTF-8 or ends early.
   */
  async read(payload: Body, limitBytes: number): Promise<string> {
    const announced = Number(payload.headers?.['content-length'] ?? 0);
    if (announced > limitBytes) throw tooLarge(limitBytes);
    return decode(await this.#collect(payload, limitBytes));
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
      const onGone = (): void => arrival.refuse(new StompError('INVALID_REQUEST', 'The body ended early.'));
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

function tooLarge(limitBytes: number): StompError {
  return new StompError(
    'PAYLOAD_TOO_LARGE',
    `The request body is larger than the ${limitBytes} bytes that are taken here.`,
    { fields: { field: 'body', max_bytes: limitBytes } },
  );
}
