/**
 * A process with agents that switch their current projects, for tests that kill it.
 *
 *   node switcher.mjs '{"database", "agents", "switches", "contested", "race"}'
 *
 * Each of `agents` starts a session unless it has one, and sets projects until its version is `switches`. Besides, the
 * process makes `contested.times` changes of the one agent that all processes share. With `race` it waits for SIGUSR2
 * and tries that one change. It says one JSON line for each change that was acknowledged.
 */
import { writeSync } from 'node:fs';
import { AgentContextManager } from '../../../dist/context/agent-context-manager.js';

const { database, agents = [], switches = 0, contested, race } = JSON.parse(process.argv[2]);
const say = (line) => writeSync(1, `${JSON.stringify(line)}\n`);
const names = ['P', 'Q', 'R'];

const manager = await AgentContextManager.open({ database });

async function work(agentId) {
  const [known] = await manager.listSessions({ agentId, status: 'active' });
  const { session_id: sessionId } = known ?? (await manager.startSession(agentId));
  if (!known) say({ started: agentId, session: sessionId });
  let { version } = await manager.getCurrentProject(agentId);
  while (version < switches) {
    const project = names[version % names.length];
    ({ version } = await manager.setCurrentProject(agentId, project, {
      sessionId,
      expectedVersion: version,
    }));
    say({ agent: agentId, version, project });
  }
}

async function contend({ agentId, sessionId, times }) {
  for (let n = 0; n < times; n++) {
    const { version } = await manager.withRetry(
      agentId,
      (current) =>
        manager.setCurrentProject(agentId, names[current.version % names.length], {
          sessionId,
          expectedVersion: current.version,
          updatedBy: String(process.pid),
        }),
      { attempts: 1000 },
    );
    say({ agent: agentId, version });
  }
}

async function tryOnce({ agentId, sessionId, expectedVersion, project }) {
  const go = new Promise((resolve) => {
    process.once('SIGUSR2', resolve);
  });
  const alive = setInterval(() => undefined, 1000);
  say({ ready: true });
  await go;
  clearInterval(alive);
  try {
    const current = await manager.setCurrentProject(agentId, project, { sessionId, expectedVersion });
    say({ won: current });
  } catch (error) {
    say({ lost: error.code, fields: error.fields });
  }
}

await Promise.all([
  ...agents.map(work),
  ...(contested ? [contend(contested)] : []),
  ...(race ? [tryOnce(race)] : []),
]);
await manager.close();
