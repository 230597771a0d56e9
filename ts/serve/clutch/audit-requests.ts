/** Writes down who has asked for a change of a run, what was decided, and what was refused. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clutch } from '../../clutch/clutch.js';
import { StompError } from '../../errors.js';
import { faultDetail, faultFields } from '../fault-log.js';

/** What the clutch says of a request; the rest of it is for the audit of its run alone. */
declare module '../turn.js' {
  interface RequestNotes {
    run?: string;
    decision?: 'approve' | 'reject' | 'abort';
    revision?: number;
  }
}

/** Before the answer goes out: whoever reads it finds the request written down. For all routes of `app`. */
export function auditRequests(app: FastifyInstance, clutch: Clutch): void {
  app.addHook('onSend', async (request, reply) => {
    try {
      await audit(clutch, request, reply);
    } catch (error) {
      // The answer is true all the same: what was decided is decided.
      request.log.error(faultFields(error), 'a request could not be audited');
      request.log.debug(faultDetail(error), 'why');
    }
  });
}

async function audit(clutch: Clutch, request: FastifyRequest, { statusCode }: FastifyReply): Promise<void> {
  const { method, notes } = request;
  // Who only looks, again and again, does not fill the disk.
  if (method === 'GET' || method === 'HEAD') return;
  try {
    const run = notes.run ?? (await runOf(clutch, request));
    if (run === undefined) return;
    notes.run = run;
    const { key, decision, revision } = notes;
    const [path] = request.url.split('?');
    await clutch.auditHttp(run, {
      method,
      path,
      status: statusCode,
      ...(key === undefined ? {} : { key }),
      ...(decision === undefined ? {} : { decision, revision }),
    });
  } catch (error) {
    // There is no such run to write it down for.
    if (!isUnknown(error)) throw error;
  }
}

/** The path says it also of requests that were refused before anybody looked at them. */
async function runOf(clutch: Clutch, { routeOptions, params }: FastifyRequest): Promise<string | undefined> {
  const { id } = params as { id?: string };
  if (id === undefined) return undefined;
  const { url = '' } = routeOptions;
  if (url.startsWith('/v1/runs/')) return id;
  return url.startsWith('/v1/approvals/') ? (await clutch.gates.get(id)).runId : undefined;
}

function isUnknown(error: unknown): boolean {
  return error instanceof StompError && ['RUN_NOT_FOUND', 'APPROVAL_NOT_FOUND'].includes(error.code);
}
