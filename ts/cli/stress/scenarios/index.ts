/** All scenarios by name. */
import type { Scenario, ScenarioName } from '../scenario.js';
import { databasesScenario } from './databases.js';
import { docsScenario } from './docs.js';
import { filesScenario } from './files.js';
import { graphScenario } from './graph.js';

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  files: filesScenario,
  db: databasesScenario,
  graph: graphScenario,
  docs: docsScenario,
};
