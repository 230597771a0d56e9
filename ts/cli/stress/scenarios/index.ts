/** All scenarios by name. */
import type { Scenario, ScenarioName } from '../scenario.js';
import { filesScenario } from './files.js';

export const scenarios: Readonly<Partial<Record<ScenarioName, Scenario>>> = {
  files: filesScenario,
};
