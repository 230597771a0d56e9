/** The errors of sessions and current projects under the names that their users know; `instanceof` goes by the code. */
import { StompError, type StompErrorCode, type StompErrorOptions } from '../errors.js';
import type { CurrentProject } from './types.js';

const withCode = (code: StompErrorCode) => (value: unknown) =>
  value instanceof StompError && value.code === code;

/** Somebody else has changed the agent's current project. What it says is in `fields` too. */
export class ConflictError extends StompError {
  /** True for every error with this code. */
  static override [Symbol.hasInstance] = withCode('VERSION_CONFLICT');
  constructor(message: string, options?: StompErrorOptions) {
    super('VERSION_CONFLICT', message, options);
  }

  get expected(): number {
    return this.fields.expected as number;
  }

  /** The version that is current, and below what is. */
  get actual(): number {
    return this.fields.actual as number;
  }

  get current_project(): string | null {
    return this.fields.current_project as string | null;
  }

  get updated_by(): string | null {
    return this.fields.updated_by as string | null;
  }

  get session_id(): string | null {
    return this.fields.session_id as string | null;
  }

  get updated_at(): number | null {
    return this.fields.updated_at as number | null;
  }
}

export function conflictError(expected: number, current: CurrentProject): ConflictError {
  const { agent_id, project, version, updated_by } = current;
  const now = version === 0 ? 'has never had one' : `is at version ${version}, set by ${updated_by}`;
  return new ConflictError(
    `The current project of ${agent_id} was expected at version ${expected}, but ${now}. ` +
      `Look at what is current and repeat the change with expected version ${version} if it still makes sense.`,
    {
      fields: {
        agent_id,
        expected,
        actual: version,
        current_project: project,
        updated_by,
        session_id: current.session_id,
        updated_at: current.updated_at,
      },
    },
  );
}

/** @param name as given: perhaps long, perhaps no name at all */
export function projectNotFound(name: string): StompError {
  const shown = name.slice(0, 200);
  return new StompError(
    'PROJECT_NOT_FOUND',
    `There is no project ${JSON.stringify(shown)}. Create it first, or list those that there are.`,
    { fields: { field: 'project', value: shown } },
  );
}
