/** The trace that a client's request belongs to: the headers of W3C Trace Context, level 2. Pure. */
import type { IncomingHttpHeaders } from 'node:http';

export interface TraceParent {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** Bit 0: the client records this trace. */
  readonly traceFlags: number;
  /** As it came; empty when there is none. */
  readonly traceState: string;
}

/** A later version may have more fields after those of version 00. */
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** @returns undefined for none, or for one that is not valid: it is then as if there were none. */
export function traceParent(headers: IncomingHttpHeaders): TraceParent | undefined {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== 'string') return undefined;
  const [, version = '', traceId = '', spanId = '', flags = '', more] = FORM.exec(traceparent.trim()) ?? [];
  const isVersion = version !== '' && version !== 'ff' && (version !== '00' || more === undefined);
  if (!isVersion || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  const traceState = Array.isArray(tracestate) ? tracestate.join(',') : (tracestate ?? '');
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), traceState };
}
