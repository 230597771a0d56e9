/**
 * Gemini through Google's `gemini` program, for those who have signed in there and have no key. It keeps the
 * conversation itself, under a session id; only what is new is said to it. It knows no tools of ours, and its own
 * find an empty folder.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StompError } from '../../errors.js';
import type { Message } from '../conversation.js';
import type { AnswerSink, ProviderAdapter } from './adapter.js';
import { estimateRequest, estimateText } from './estimate.js';
import { cutShort } from './failures.js';
import { type GeminiResult, type GeminiStats, geminiFailure, runGemini } from './gemini-process.js';
import type { ApiKey } from './keys.js';
import type { ProviderAnswer, ProviderRequest } from './provider.js';

/** Of the 900,000 tokens that a prompt may have. */
const historyTokens = 0.4 * 900_000;

export interface GeminiCliSetup {
  /** A name on the path, or a path. */
  readonly command: string;
  readonly defaultModel: string;
  /** Where the program finds its home and the way out. */
  readonly environment: NodeJS.ProcessEnv;
  /** Undefined: the program's own sign-in. @throws StompError PROVIDER_KEY_MISSING */
  readonly key: () => ApiKey | undefined;
}

/** A conversation as the program has it. */
interface Session {
  readonly id: string;
  /** Messages that it knows, and a digest of them and of what stood before. */
  readonly count: number;
  readonly digest: string;
}

export class GeminiCliAdapter implements ProviderAdapter {
  readonly defaultModel: string;
  readonly #setup: GeminiCliSetup;
  readonly #sessions = new Map<string, Session>();
  readonly #running = new Set<Promise<void>>();
  #folder: Promise<string> | undefined;
  #key: ApiKey | undefined;

  constructor(setup: GeminiCliSetup) {
    this.defaultModel = setup.defaultModel;
    this.#setup = setup;
  }

  get takesTools(): boolean {
    return false;
  }

  async historyTokens(): Promise<number> {
    return historyTokens;
  }

  async countTokens(request: Omit<ProviderRequest, 'signal'>): Promise<number> {
    return estimateRequest(request);
  }

  redact(text: string): string {
    return this.#key?.redact(text) ?? text;
  }

  async ask(request: ProviderRequest, sink: AnswerSink): Promise<ProviderAnswer> {
    if (request.tools.length > 0) throw noTools();
    const { agentId, messages } = request;
    const session = this.#sessions.get(agentId);
    const known = session && digestOf(request, session.count) === session.digest ? session : undefined;
    // Whatever goes wrong, the program may have heard some of it.
    this.#sessions.delete(agentId);
    const answer = new AnswerParts(sink);
    await this.#run(request, known, promptOf(messages.slice(known?.count ?? 0)), answer);
    const whole = answer.whole(request);
    const told: Message = { role: 'assistant', text: whole.text, calls: [] };
    const count = messages.length + 1;
    const digest = digestOf({ ...request, messages: [...messages, told] }, count);
    if (answer.sessionId !== undefined) this.#sessions.set(agentId, { id: answer.sessionId, count, digest });
    return whole;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
    const folder = await this.#folder;
    this.#folder = undefined;
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }

  async #run(
    request: ProviderRequest,
    session: Session | undefined,
    prompt: string,
    answer: AnswerParts,
  ): Promise<void> {
    this.#key = this.#setup.key();
    this.#folder ??= mkdtemp(join(tmpdir(), 'stomp-gemini-'));
    const folder = await this.#folder;
    const cwd = join(folder, 'work');
    await mkdir(cwd, { recursive: true });
    const command = {
      program: this.#setup.command,
      args: argsOf(request.model, session),
      cwd,
      env: { ...allowed(this.#setup.environment), ...(await this.#ownVariables(request, folder)) },
      prompt,
    };
    const running = runGemini(command, (line) => answer.add(line), request.signal);
    this.#running.add(running);
    try {
      await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #ownVariables(request: ProviderRequest, folder: string): Promise<NodeJS.ProcessEnv> {
    const instructions = [request.system, ...request.context].filter((text) => text !== '').join('\n\n');
    const own: NodeJS.ProcessEnv = { GEMINI_CLI_TRUST_WORKSPACE: 'true' };
    if (this.#key) own['GEMINI_API_KEY'] = this.#key.reveal();
    if (instructions === '') return own;
    const file = join(folder, `${createHash('sha256').update(instructions).digest('hex')}.md`);
    await writeFile(file, instructions, { mode: 0o600 });
    return { ...own, GEMINI_SYSTEM_MD: file };
  }
}

function argsOf(model: string, session: Session | undefined): string[] {
  const own = ['--output-format', 'stream-json', '--model', model, '--approval-mode', 'default'];
  // Nothing of the user's own set-up acts here.
  const alone = ['--extensions', 'none', '--allowed-mcp-server-names', 'none'];
  return [...own, ...alone, ...(session ? ['--resume', session.id] : [])];
}

/** The rest of the environment is none of the program's business. */
const passedOn =
  /^(PATH|HOME|USER|LANG|LC_\w+|TZ|TMPDIR|XDG_\w+|(HTTPS?|NO)_PROXY|NODE_EXTRA_CA_CERTS|GEMINI_CLI_HOME|GOOGLE_CLOUD_\w+|SystemRoot|PATHEXT|APPDATA|LOCALAPPDATA|USERPROFILE|TEMP)$/i;

function allowed(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => passedOn.test(name)));
}

/** Of what stands before the messages, and of the first `count` of them. */
function digestOf(request: ProviderRequest, count: number): string {
  const { model, system, context, messages } = request;
  const told = messages.slice(0, count).map((message) => [message.role, wordsOf(message)]);
  return createHash('sha256')
    .update(JSON.stringify([model, system, context, told]))
    .digest('hex');
}

/** One message is said as it is; of several it is told who said what. */
function promptOf(messages: readonly Message[]): string {
  const [only, ...more] = messages;
  if (only?.role === 'user' && more.length === 0) return only.text;
  return messages.map((message) => `${speakers[message.role]}:\n${wordsOf(message)}`).join('\n\n');
}

const speakers = { user: 'User', assistant: 'You', tool: 'Results' } as const;

function wordsOf(message: Message): string {
  if (message.role === 'tool') return message.results.map(({ output }) => output).join('\n\n');
  if (message.role === 'user') return message.text;
  return [message.text, ...message.calls.map((call) => `${call.name}(${call.arguments})`)].join('\n').trim();
}

function noTools(): StompError {
  const message =
    'The gemini program takes no tools. Start the run without tools, or use the provider gemini, which has them.';
  return new StompError('UNSUPPORTED_FIELD', message, { fields: { field: 'tools' } });
}

/** An answer put together from its lines. */
class AnswerParts {
  sessionId: string | undefined;
  readonly #sink: AnswerSink;
  #text = '';
  #isComplete = false;
  #stats: GeminiStats | undefined;

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  /** @throws ProviderFailure when the program says that it failed */
  add(line: GeminiResult): void {
    this.#sink.alive();
    if (line.type === 'init') this.sessionId = line.session_id;
    if (line.type === 'message' && line.role === 'assistant') this.#say(line.content);
    if (line.type !== 'result') return;
    if (line.status === 'error') throw geminiFailure(line.error?.message ?? 'no reason was given');
    this.#isComplete = true;
    this.#stats = line.stats;
  }

  /** @throws ProviderFailure when the end is missing */
  whole(request: ProviderRequest): ProviderAnswer {
    if (!this.#isComplete) throw cutShort();
    const {
      input_tokens = estimateRequest(request),
      output_tokens = estimateText(this.#text),
      cached = 0,
    } = this.#stats ?? {};
    return {
      text: this.#text,
      reasoning: '',
      calls: [],
      finish: 'stop',
      usage: { input: input_tokens, cached, output: output_tokens },
    };
  }

  #say(text: string): void {
    this.#text += text;
    this.#sink.text(text);
  }
}
