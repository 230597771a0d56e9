/** The settings of stomp-serve: one schema and what is made from it. */
export { parseArguments, type ParsedArguments } from './arguments.js';
export { optionsHelp } from './help.js';
export { nearestName, suggestion } from './nearest.js';
export { defaultToml, environmentExample, settingsReference } from './reference.js';
export { resolveSettings, type Resolved, type ResolveOptions } from './resolve.js';
export {
  SETTINGS,
  environmentName,
  isLoopback,
  settingKey,
  type Command,
  type Setting,
  type SettingName,
  type Settings,
} from './schema.js';
