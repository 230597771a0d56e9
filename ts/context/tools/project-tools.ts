/** Projects, and what an agent works on, as tools. */
import { StompError } from '../../errors.js';
import { type ArgumentsOf, given, type ObjectSchema } from '../../tools/parameters.js';
import { openTool, type Tool } from '../../tools/tool.js';
import type { Meta } from '../entry.js';
import type { CurrentProject, Project, ProjectChanges } from '../types.js';
import type { ToolParts } from './context-tools.js';
import {
  adds,
  agent,
  changes,
  looks,
  nothing,
  projectContent,
  removes,
  text,
  who,
  whole,
} from './parameters.js';

export function projectTools(parts: ToolParts): Tool[] {
  return [setTool, getTool, createTool, listTool, updateTool, deleteTool].map((make) => make(parts));
}

const name = text('Its name');

const setSchema = {
  type: 'object',
  properties: {
    name: { type: ['string', 'null'], description: 'The project; null for none' },
    expected_version: whole(
      'Changes nothing unless the version is this one, as get_project gave it; 0: nothing was ever set',
      0,
    ),
    updated_by: text('Who did it, for whoever is told of a conflict. Default: the agent'),
    create: {
      type: 'boolean',
      description: 'Create a project that is not there. Default: only when its root is given',
    },
    ...projectContent,
    ...who,
  },
  required: ['name'],
  additionalProperties: false,
} as const satisfies ObjectSchema;

type SetArguments = ArgumentsOf<typeof setSchema>;

function setTool(parts: ToolParts): Tool {
  return openTool({
    name: 'set_project',
    title: 'Set the current project',
    description:
      'Sets what the agent works on. VERSION_CONFLICT tells what is current when somebody was faster: look, and repeat ' +
      'with that version. A project that is not there is created when its root is given, or "create"; one that is there ' +
      'keeps its root, description, tags and meta.',
    inputSchema: setSchema,
    hints: changes,
    run: async (args, caller) => {
      const agentId = parts.callers.agent(args, caller);
      const sessionId = await parts.callers.session(args, caller, agentId);
      const set = () =>
        parts.manager.setCurrentProject(agentId, args.name, {
          sessionId,
          ...given({ expectedVersion: args.expected_version, updatedBy: args.updated_by }),
        });
      const { current, created } = await setOrCreate(parts, args, set);
      return { ...current, created };
    },
  });
}

/** Whether there is such a project is looked at last: what is refused before has created nothing. */
async function setOrCreate(
  { manager }: ToolParts,
  args: SetArguments,
  set: () => Promise<CurrentProject>,
): Promise<{ current: CurrentProject; created: boolean }> {
  try {
    return { current: await set(), created: false };
  } catch (error) {
    if (args.name === null || !isCode(error, 'PROJECT_NOT_FOUND')) throw error;
    // Whoever says no to it is not told how.
    if (args.create === false) throw error;
    if (!args.create && args.root === undefined) throw toldHowToCreate(error);
    const created = await manager.createProject({ name: args.name, ...contentOf(args) }).then(
      () => true,
      (failure: unknown) => {
        // By somebody else, in this very moment; another field names a log that belongs to another project.
        if (isCode(failure, 'PROJECT_EXISTS') && failure.fields.field === 'name') return false;
        throw failure;
      },
    );
    return { current: await set(), created };
  }
}

function isCode(error: unknown, code: StompError['code']): error is StompError {
  return error instanceof StompError && error.code === code;
}

function toldHowToCreate(error: StompError): StompError {
  const found = JSON.stringify(error.fields.value);
  return new StompError(
    error.code,
    `There is no project ${found}. Pass its "root", or "create": true, to create it; project_list shows those that there are.`,
    { fields: error.fields, cause: error },
  );
}

function getTool({ manager, callers }: ToolParts): Tool {
  return openTool({
    name: 'get_project',
    title: 'Show the current project',
    description:
      'What the agent works on, with its version and all that is known of the project; or another project.',
    inputSchema: {
      type: 'object',
      properties: { name: text('A project to show instead of the current one'), ...agent },
      required: [],
      additionalProperties: false,
    },
    hints: looks,
    run: async (args, caller) => {
      if (args.name !== undefined)
        return { project: args.name, details: await manager.getProject(args.name) };
      const current = await manager.getCurrentProject(callers.agent(args, caller));
      return { ...current, details: await detailsOf(manager, current) };
    },
  });
}

async function detailsOf(
  manager: ToolParts['manager'],
  { project }: CurrentProject,
): Promise<Project | null> {
  if (project === null) return null;
  return manager.getProject(project).catch((error: unknown) => {
    // Deleted since.
    if (isCode(error, 'PROJECT_NOT_FOUND')) return null;
    throw error;
  });
}

function createTool({ manager }: ToolParts): Tool {
  return openTool({
    name: 'project_create',
    title: 'Create a project',
    description: 'Creates a project: a folder, and a file in which progress is written down.',
    inputSchema: {
      type: 'object',
      properties: { name, ...projectContent },
      required: ['name'],
      additionalProperties: false,
    },
    hints: adds,
    run: async (args) => ({ ...(await manager.createProject({ name: args.name, ...contentOf(args) })) }),
  });
}

function listTool({ manager }: ToolParts): Tool {
  return openTool({
    name: 'project_list',
    title: 'Show projects',
    description: 'Every project, by name.',
    inputSchema: nothing,
    hints: looks,
    run: async () => ({ projects: await manager.listProjects() }),
  });
}

function updateTool({ manager }: ToolParts): Tool {
  return openTool({
    name: 'project_update',
    title: 'Change a project',
    description: 'Changes what is given of a project; the rest stays. Its log is made anew where it then is.',
    inputSchema: {
      type: 'object',
      properties: { name, ...projectContent },
      required: ['name'],
      additionalProperties: false,
    },
    hints: changes,
    run: async (args) => ({ ...(await manager.updateProject(args.name, contentOf(args))) }),
  });
}

function deleteTool({ manager }: ToolParts): Tool {
  return openTool({
    name: 'project_delete',
    title: 'Delete a project',
    description:
      'Deletes a project. Agents that work on it then work on none, at the version they had; its log stays unless it is purged.',
    inputSchema: {
      type: 'object',
      properties: {
        name,
        purge: {
          type: 'boolean',
          description: 'Also remove its entries and the files of its log. Default: false',
        },
      },
      required: ['name'],
      additionalProperties: false,
    },
    hints: removes,
    run: async ({ name: named, purge }) => ({
      deleted: true,
      ...(await manager.deleteProject(named, given({ purge }))),
    }),
  });
}

interface ContentArguments {
  readonly root?: string;
  readonly progress_log_path?: string;
  readonly description?: string;
  readonly tags?: string | string[];
  readonly meta?: Readonly<Record<string, unknown>>;
}

function contentOf(args: ContentArguments): ProjectChanges {
  return given({
    root: args.root,
    progressLogPath: args.progress_log_path,
    description: args.description,
    tags: args.tags,
    meta: args.meta as Meta | undefined,
  });
}
