/** Gemini's refusals. The library drops the headers that say how long to wait, so they are read before it. */
import { isPassing, ProviderFailure, retryAfterMs } from './failures.js';

/** As the reference has it: https://ai.google.dev/api, google.rpc.Status. */
interface ErrorBody {
  readonly error?: {
    readonly message?: string;
    readonly details?: readonly { readonly '@type'?: string; readonly retryDelay?: string }[];
  };
}

/** `fetch`, but what is no success is thrown. @throws ProviderFailure */
export async function fetchOrFail(input: Parameters<typeof fetch>[0], init?: RequestInit): Promise<Response> {
  const response = await fetch(input, init);
  if (response.ok) return response;
  const text = await response.text();
  const { error } = readBody(text);
  const { status, headers } = response;
  throw new ProviderFailure(`${status} ${error?.message ?? text}`, {
    status,
    passing: isPassing(status),
    waitMs: retryAfterMs(headers, Date.now()) ?? retryDelayMs(error?.details),
  });
}

function readBody(text: string): ErrorBody {
  try {
    return (JSON.parse(text) as ErrorBody | null) ?? {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

/** google.rpc.RetryInfo: a duration as `34.5s`. */
function retryDelayMs(details: NonNullable<ErrorBody['error']>['details']): number | undefined {
  const info = details?.find((detail) => detail['@type']?.endsWith('google.rpc.RetryInfo'));
  const [, seconds] = /^(\d+(?:\.\d+)?)s$/.exec(info?.retryDelay ?? '') ?? [];
  return seconds === undefined ? undefined : Math.ceil(Number(seconds) * 1000);
}
