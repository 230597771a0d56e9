/** `/v1/projects`, `/v1/context`, and the project and sessions of an agent. */
import type { Toolbox } from '../../../tools/toolbox.js';
import { queryOf, without } from '../arguments.js';
import { inHeader, inPath, type Operation, type Parameter, type PathGroup } from '../operation.js';
import { object, type Schema } from '../shapes.js';
import { callerHeaders, TOOL_ERRORS } from './tools.js';

interface CallDoc {
  readonly summary: string;
  readonly tool: string;
  readonly status?: number;
  /** Arguments that the path says. */
  readonly said?: readonly string[];
  readonly parameters?: readonly Parameter[];
}

/** REQUIRES: the toolbox holds the tools of the context. */
export function contextPaths(tools: Toolbox): PathGroup {
  const acting = ({ summary, tool, status = 200, said = [], parameters = [] }: CallDoc): Operation => ({
    summary,
    description: `The tool \`${tool}\`; what the path names is left out of the body.`,
    parameters: [...parameters, ...callerHeaders],
    body: without(tools.get(tool).inputSchema, said),
    bodyOptional: true,
    answers: { [status]: { description: 'What was done', schema: object({}) } },
    errors: TOOL_ERRORS,
  });
  const looking = ({ summary, tool, said = [], parameters = [] }: CallDoc): Operation => ({
    summary,
    description: `The tool \`${tool}\`; the query takes its arguments.`,
    parameters: [...parameters, ...queryOf(tools.get(tool).inputSchema, said), ...callerHeaders],
    answers: { 200: { description: 'What there is', schema: object({}) } },
    errors: TOOL_ERRORS,
  });
  return {
    tag: 'context',
    description: 'Sessions, current projects and progress logs',
    errorShape: 'ToolError',
    paths: { ...agentPaths(acting, looking), ...projectPaths(acting, looking) },
  };
}

type Describe = (doc: CallDoc) => Operation;

const agent = inPath('id', 'Of the agent');
const session = inPath('sid', 'Of the session');
const project = inPath('name', 'Of the project');

function agentPaths(acting: Describe, looking: Describe): PathGroup['paths'] {
  const sessionOf = { parameters: [agent, session], said: ['agent_id', 'session_id'] };
  return {
    '/v1/agents/{id}/project': currentProject,
    '/v1/agents/{id}/sessions': {
      get: looking({
        summary: 'List the sessions of an agent',
        tool: 'session_list',
        said: ['agent_id'],
        parameters: [agent],
      }),
      post: acting({
        summary: 'Start a session',
        tool: 'session_start',
        status: 201,
        said: ['agent_id'],
        parameters: [agent],
      }),
    },
    '/v1/agents/{id}/sessions/{sid}': {
      get: {
        summary: 'Show a session',
        parameters: [agent, session],
        answers: { 200: { description: 'The session', schema: object({}) } },
        errors: TOOL_ERRORS,
      },
      delete: acting({ summary: 'End a session', tool: 'session_end', ...sessionOf }),
    },
    '/v1/agents/{id}/sessions/{sid}/heartbeat': {
      post: acting({ summary: 'Keep a session alive', tool: 'session_heartbeat', ...sessionOf }),
    },
  };
}

const currentProject = {
  get: {
    summary: 'Show the current project of an agent',
    parameters: [agent, inHeader('If-None-Match', 'Versions that the client has, as entity tags')],
    answers: {
      200: { description: 'The project and its version', schema: object({}) },
      304: { description: 'The client has it' },
    },
    errors: TOOL_ERRORS,
  },
  put: change('Switch an agent to a project', object({ project: { type: ['string', 'null'] } }), false),
  delete: change('Let an agent work at no project', object({}), true),
} satisfies Record<string, Operation>;

function change(summary: string, body: Schema, bodyOptional: boolean): Operation {
  return {
    summary,
    parameters: [agent, inHeader('If-Match', 'The version to change, as an entity tag'), ...callerHeaders],
    body,
    bodyOptional,
    answers: { 200: { description: 'The project and its new version', schema: object({}) } },
    errors: TOOL_ERRORS,
  };
}

function projectPaths(acting: Describe, looking: Describe): PathGroup['paths'] {
  const one = { parameters: [project], said: ['name'] };
  const log = { parameters: [project], said: ['project'] };
  return {
    '/v1/projects': {
      get: looking({ summary: 'List the projects', tool: 'project_list' }),
      post: acting({ summary: 'Create a project', tool: 'project_create', status: 201 }),
    },
    '/v1/projects/{name}': {
      get: looking({ summary: 'Show a project', tool: 'get_project', ...one }),
      patch: acting({ summary: 'Change a project', tool: 'project_update', ...one }),
      delete: acting({ summary: 'Delete a project', tool: 'project_delete', ...one }),
    },
    '/v1/projects/{name}/entries': {
      get: looking({ summary: 'Search the progress log', tool: 'query_entries', ...log }),
      post: acting({ summary: 'Append to the progress log', tool: 'append_entry', status: 201, ...log }),
    },
    '/v1/projects/{name}/entries/query': {
      post: acting({ summary: 'Search the progress log by a body', tool: 'query_entries', ...log }),
    },
    '/v1/projects/{name}/audit': {
      get: looking({ summary: 'Check the progress log against its file', tool: 'context_audit', ...log }),
    },
    '/v1/context/verify': { get: looking({ summary: 'Check the whole context', tool: 'context_verify' }) },
    '/v1/context/events': { get: looking({ summary: 'List what happened', tool: 'context_events' }) },
  };
}
