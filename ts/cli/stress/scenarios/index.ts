/** All scenarios by name. */
import type { Scenario, ScenarioName } from '../scenario.js';
import { docsScenario } from './docs.js';
import { filesScenario } from './files.js';
import { graphScenario } from './graph.js';

export const scenarios: Readonly<Partial<Record<ScenarioName, Scenario>>> = {
  docs: docsScenario,
  files: filesScenario,
  graph: graphScenario,
};
