/** Providers by name: what each needs to be opened, and what it takes where nothing is said. */
import { checkChoice, checkFields, checkInteger, checkText, refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';
import { AdaptedProvider } from './adapted-provider.js';
import type { ProviderAdapter } from './adapter.js';
import { AnthropicAdapter } from './anthropic.js';
import { EngineAdapter, type EngineModels } from './engine.js';
import { GeminiAdapter } from './gemini.js';
import { GeminiCliAdapter } from './gemini-cli.js';
import { type ApiKey, readKey } from './keys.js';
import { OpenAiAdapter } from './openai.js';
import type { Provider } from './provider.js';
import { type RetryClock, systemClock } from './retry.js';

/** In whose form a provider is asked. */
export const providerKinds = ['engine', 'openai', 'deepseek', 'anthropic', 'gemini', 'gemini-cli'] as const;
/** In whose form a provider is asked. */
export type ProviderKind = (typeof providerKinds)[number];

/** How a provider is reached, and within which limits. */
export interface ProviderOptions {
  /** @default the provider's name */
  readonly kind?: ProviderKind | undefined;
  /** Somebody else who speaks as this kind does. @default the provider itself */
  readonly baseUrl?: string | undefined;
  /**
   * Environment variable with the key. With a `baseUrl` no key is sent unless one is named here or in `keyFile`: it
   * would go to somebody it was not made for. @default OPENAI_API_KEY and so on
   */
  readonly keyEnv?: string | undefined;
  /** File with the key, mode 600. Comes before `keyEnv`. */
  readonly keyFile?: string | undefined;
  /** Of runs that name none. */
  readonly defaultModel?: string | undefined;
  /** Requests at a time, 1 to 64. @default 4; of the own engine 16 */
  readonly maxConcurrent?: number | undefined;
  /** Longest time in which nothing comes; 0: no limit. @default 120000; of the own engine 0, it has a watchdog */
  readonly idleMs?: number | undefined;
  /** How often to try in all, 1 to 5. @default 5 */
  readonly tries?: number | undefined;
  /** A provider that asks to be left alone for longer is given up. @default 120000 */
  readonly longestWaitMs?: number | undefined;
  /** Of OpenAI's kind and of DeepSeek: longest prompt and answer together. @default 128000 */
  readonly contextTokens?: number | undefined;
  /** Of Gemini: shorter prefixes are not cached. @default 2048 */
  readonly cacheMinTokens?: number | undefined;
  /** Of Anthropic and Gemini: whether to think, or tell thoughts. @default as the model has it */
  readonly thinking?: 'adaptive' | 'disabled' | undefined;
  /** Of Gemini's program: its name or path. @default gemini */
  readonly command?: string | undefined;
}

/** What providers work with. */
export interface ProviderSystems {
  /** For the own engine. */
  readonly models?: EngineModels | undefined;
  /** @default process.env */
  readonly environment?: NodeJS.ProcessEnv | undefined;
  readonly clock?: RetryClock | undefined;
  /** Failures with nobody to tell. @default process.emitWarning */
  readonly onWarning?: ((warning: StompError) => void) | undefined;
}

interface KindDefaults {
  readonly baseUrl: string;
  readonly keyEnv: string | undefined;
  readonly model: string;
}

const defaults: Readonly<Record<ProviderKind, KindDefaults>> = {
  engine: { baseUrl: '', keyEnv: undefined, model: '' },
  openai: { baseUrl: 'https://api.openai.com/v1', keyEnv: 'OPENAI_API_KEY', model: 'gpt-5.4-mini' },
  deepseek: { baseUrl: 'https://api.deepseek.com', keyEnv: 'DEEPSEEK_API_KEY', model: 'deepseek-chat' },
  anthropic: {
    baseUrl: 'https://api.anthropic.com',
    keyEnv: 'ANTHROPIC_API_KEY',
    model: 'claude-sonnet-5-5',
  },
  gemini: {
    baseUrl: 'https://generativelanguage.googleapis.com',
    keyEnv: 'GEMINI_API_KEY',
    model: 'gemini-2.5-flash',
  },
  // It has a sign-in of its own.
  'gemini-cli': { baseUrl: '', keyEnv: undefined, model: 'gemini-2.5-flash' },
};

const optionNames = [
  'kind',
  'baseUrl',
  'keyEnv',
  'keyFile',
  'defaultModel',
  'maxConcurrent',
  'idleMs',
  'tries',
  'longestWaitMs',
  'contextTokens',
  'cacheMinTokens',
  'thinking',
  'command',
] as const satisfies readonly (keyof ProviderOptions)[];

/**
 * Asks nobody yet: keys and client libraries are looked for with the first request.
 * @param name a kind, or any name with a `kind` among the options
 * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD
 */
export function openProvider(
  name: string,
  options: ProviderOptions = {},
  systems: ProviderSystems = {},
): Provider {
  checkFields('options', options, optionNames);
  const kind = kindOf(name, options.kind);
  const adapter = adapters[kind](contextOf(name, kind, options, systems));
  const isEngine = kind === 'engine';
  const limits = {
    maxConcurrent: checkInteger('maxConcurrent', options.maxConcurrent, isEngine ? 16 : 4, {
      min: 1,
      max: 64,
    }),
    idleMs: checkInteger('idleMs', options.idleMs, isEngine ? 0 : 120_000, { min: 0, max: 86_400_000 }),
    tries: checkInteger('tries', options.tries, 5, { min: 1, max: 5 }),
    longestWaitMs: checkInteger('longestWaitMs', options.longestWaitMs, 120_000, {
      min: 0,
      max: 86_400_000,
    }),
  };
  return new AdaptedProvider(name, adapter, limits, systems.clock ?? systemClock);
}

/** Checked options, and what they rest on. */
interface OpenContext {
  readonly name: string;
  readonly options: ProviderOptions;
  readonly systems: ProviderSystems;
  readonly baseUrl: string;
  /** Whether the provider itself is asked, and not somebody who speaks as it does. */
  readonly isOfficial: boolean;
  readonly defaultModel: string;
  readonly key: () => ApiKey | undefined;
}

function contextOf(
  name: string,
  kind: ProviderKind,
  options: ProviderOptions,
  systems: ProviderSystems,
): OpenContext {
  const own = defaults[kind];
  const isOfficial = options.baseUrl === undefined;
  const keyEnv = checkText('keyEnv', options.keyEnv, '', 200);
  const keyFile = checkText('keyFile', options.keyFile, '', 4096);
  const variable = keyEnv || (isOfficial ? own.keyEnv : undefined);
  const source = { provider: name, variable, file: keyFile || undefined };
  return {
    name,
    options,
    systems,
    baseUrl: options.baseUrl === undefined ? own.baseUrl : checkUrl(options.baseUrl),
    isOfficial,
    defaultModel: checkText('defaultModel', options.defaultModel, own.model, 200),
    key: () => readKey(source, systems.environment ?? process.env),
  };
}

const adapters: Readonly<Record<ProviderKind, (context: OpenContext) => ProviderAdapter>> = {
  engine: ({ name, systems: { models } }) => {
    if (models) return new EngineAdapter({ name, models });
    const message = 'There is no engine in this process. Give models, or use another provider.';
    throw new StompError('INVALID_REQUEST', message, { fields: { field: 'models' } });
  },
  openai: (context) => openAi(context, context.isOfficial),
  deepseek: (context) => openAi(context, false),
  anthropic: ({ options, isOfficial, ...context }) =>
    new AnthropicAdapter({ ...context, tellsAgent: !isOfficial, thinking: thinkingOf(options) }),
  gemini: ({ options, systems, ...context }) =>
    new GeminiAdapter({
      ...context,
      thoughts: thinkingOf(options) === 'adaptive',
      cacheMinTokens: checkInteger('cacheMinTokens', options.cacheMinTokens, 2048, {
        min: 1,
        max: 1_000_000,
      }),
      now: () => (systems.clock ?? systemClock).now(),
      onWarning: systems.onWarning ?? ((warning) => process.emitWarning(warning)),
    }),
  'gemini-cli': ({ options, systems, defaultModel, key }) =>
    new GeminiCliAdapter({
      command: checkText('command', options.command, 'gemini', 4096),
      defaultModel,
      environment: systems.environment ?? process.env,
      key,
    }),
};

function openAi({ options, isOfficial, ...context }: OpenContext, isOpenAi: boolean): ProviderAdapter {
  const contextTokens = checkInteger('contextTokens', options.contextTokens, 128_000, {
    min: 256,
    max: 100_000_000,
  });
  return new OpenAiAdapter({ ...context, isOpenAi, tellsAgent: !isOfficial, contextTokens });
}

function kindOf(name: string, given: ProviderKind | undefined): ProviderKind {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) refuse('name', name, 'of 1 to 64 letters, digits, - and _');
  const named = providerKinds.find((kind) => kind === name);
  if (given === undefined && named === undefined) {
    refuse('name', name, `one of ${providerKinds.join(', ')}, or one with a kind among its options`);
  }
  return checkChoice('kind', given, named ?? 'openai', providerKinds);
}

function thinkingOf({ thinking }: ProviderOptions): 'adaptive' | 'disabled' | undefined {
  const choices = ['adaptive', 'disabled'] as const;
  return thinking === undefined ? undefined : checkChoice('thinking', thinking, 'adaptive', choices);
}

/** Without a password, which every message that names the address would tell. */
function checkUrl(text: unknown): string {
  const allowed = 'an http or https URL without a name and a password in it';
  const url =
    typeof text === 'string' && URL.canParse(text) ? new URL(text) : refuse('baseUrl', text, allowed);
  const isPlain = url.username === '' && url.password === '';
  if (!isPlain || !/^https?:$/.test(url.protocol)) refuse('baseUrl', url.origin, allowed);
  return url.href.replace(/\/$/, '');
}
