/** The settings of stomp-serve: one schema and what is made from it. */
export { type ParsedArguments, parseArguments } from './arguments.js';
export { optionEntry, optionsHelp } from './help.js';
export { nearestName, suggestion } from './nearest.js';
export { defaultToml, environmentExample, settingsReference } from './reference.js';
export { type Resolved, type ResolveOptions, resolveSettings } from './resolve.js';
export {
  CLUTCH_COMMANDS,
  type ClutchCommand,
  type Command,
  environmentName,
  isLoopback,
  RESERVATION_COMMANDS,
  type ReservationCommand,
  SETTINGS,
  type Setting,
  type SettingName,
  type Settings,
  settingKey,
} from './schema.js';
export { AGENT_VARIABLE, TOKEN_VARIABLE } from './sources.js';
