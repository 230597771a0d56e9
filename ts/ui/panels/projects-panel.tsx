/** Sessions of agents, and the projects they work on. */
import { clockTime, duration } from '../parts/format.js';
import { Table } from '../parts/table.js';
import { useNow } from '../state/clock.js';
import { Asked } from './asked.js';
import type { ProjectsBody, SessionsBody } from './panel-types.js';

const activeSessions = { method: 'POST', body: { status: 'active' } } as const;

export function ProjectsPanel() {
  const now = useNow();
  return (
    <>
      <h3>Sessions</h3>
      <Asked<SessionsBody> path="/v1/tools/session_list" request={activeSessions}>
        {({ sessions }) => (
          <Table
            label="Sessions"
            rows={sessions}
            keyOf={({ session_id }) => session_id}
            empty="No session is active."
            columns={[
              { title: 'Agent', cell: (session) => session.agent_id },
              { title: 'Session', cell: (session) => session.session_id },
              { title: 'Since', cell: (session) => clockTime(session.started_at) },
              { title: 'Left', isNumber: true, cell: (session) => duration(session.expires_at - now) },
            ]}
          />
        )}
      </Asked>
      <h3>Projects</h3>
      <Asked<ProjectsBody> path="/v1/projects">
        {({ projects }) => (
          <Table
            label="Projects"
            rows={projects}
            keyOf={({ name }) => name}
            empty="There are no projects."
            columns={[
              { title: 'Project', cell: (project) => project.name },
              { title: 'Folder', cell: (project) => project.root },
              { title: 'Description', cell: (project) => project.description },
            ]}
          />
        )}
      </Asked>
    </>
  );
}
