/** The grammar of an answer that is held to a form, in the format in which the model writes calls and thoughts. */
import { StompError } from '../../../errors.js';
import type { FullChatOptions } from '../../chat-options.js';
import { GrammarBuilder } from '../../grammar/builder.js';
import {
  chars,
  type Grammar,
  type GrammarNode,
  optional,
  or,
  repeat,
  seq,
  text,
  token,
} from '../../grammar/ir.js';
import { colon, commaNode, gapNode, jsonObjectNode } from '../../grammar/json.js';
import { schemaNode } from '../../grammar/json-schema.js';
import { MalformedSchema } from '../../grammar/schema/document.js';
import { Work } from '../../grammar/work.js';
import type { ToolDefinition } from '../../types.js';
import type { FormVocabulary } from './form-vocabulary.js';
import { type FreeText, freeUpTo, linesWithout } from './free-grammar.js';
import { deepseekMarks, kimiMarks, type Marks } from './marked.js';
import type { AnswerForm } from './parser.js';
import { taggedArguments } from './tagged-grammar.js';

/** What a form is made of. The same after it has been JSON text. */
export interface FormRequest
  extends Pick<FullChatOptions, 'tools' | 'toolChoice' | 'responseFormat' | 'reasoning'> {
  readonly form: Pick<AnswerForm, 'calls' | 'harmony' | 'parallel' | 'thoughts' | 'thinking'>;
}

/**
 * @param work what it may cost.
 * @throws StompError UNSUPPORTED_FIELD, INVALID_REQUEST
 */
export function answerGrammar(request: FormRequest, vocabulary: FormVocabulary, work = new Work()): Grammar {
  return new AnswerGrammar(request, vocabulary, work).build();
}

class AnswerGrammar {
  readonly #builder: GrammarBuilder;
  readonly #options: FormRequest;
  readonly #form: FormRequest['form'];
  readonly #vocabulary: FormVocabulary;

  constructor(request: FormRequest, vocabulary: FormVocabulary, work: Work) {
    this.#builder = new GrammarBuilder(work);
    this.#options = request;
    this.#form = request.form;
    this.#vocabulary = vocabulary;
  }

  build(): Grammar {
    const { toolChoice, responseFormat, tools } = this.#options;
    const said = responseFormat ? this.#json() : undefined;
    const mayCall = tools.length > 0 && toolChoice !== 'none';
    const forced = toolChoice === 'required' || typeof toolChoice === 'object';
    const answer = this.#form.harmony
      ? this.#harmony(said, mayCall, forced)
      : this.#tagged(said, mayCall, forced);
    return this.#builder.build(answer, responseFormat ? 'responseFormat' : 'tools');
  }

  #tagged(said: GrammarNode | undefined, mayCall: boolean, forced: boolean): GrammarNode {
    const calls = mayCall ? this.#calls() : undefined;
    const answer = forced ? calls : said ? or(said, ...(calls ? [calls] : [])) : this.#free();
    return seq(this.#thoughts(), answer ?? text(''));
  }

  #json(): GrammarNode {
    const { responseFormat } = this.#options;
    if (responseFormat?.type !== 'json_schema') return jsonObjectNode(this.#builder);
    return schemaNode(this.#builder, responseFormat.schema, 'responseFormat.schema');
  }

  /** Thoughts before the form, where the model has them. */
  #thoughts(): GrammarNode {
    const { thoughts, thinking } = this.#form;
    if (!thoughts || (!thinking && this.#options.reasoning.enabled === false)) return text('');
    const rest = seq(
      freeUpTo(this.#builder, 'thoughts', this.#marker(thoughts.close.text), repeat(text('\n'), 0, 2)),
    );
    return thinking ? rest : optional(seq(this.#mark(thoughts.open.text), rest));
  }

  /** Text with calls in it, which are held to their schemas. */
  #free(): GrammarNode {
    const { calls, parallel } = this.#form;
    const after = this.#builder.reserve('said');
    const again: GrammarNode = parallel ? { ref: after } : text('');
    const bare = calls === 'llama' || calls === 'gemma';
    const node = bare
      ? linesWithout(this.#builder, '{', this.#anyTool(), parallel)
      : freeUpTo(this.#builder, 'text', this.#marker(this.#opener()), seq(this.#behindOpener(), again), true);
    this.#builder.define(after, node);
    return { ref: after };
  }

  /** One call, or several where the model can. */
  #calls(): GrammarNode {
    const { calls, parallel } = this.#form;
    const call = this.#builder.rule('call', this.#whole());
    if (!parallel || this.#isList()) return call;
    const between = calls === 'mistral' ? text('') : calls === 'glm' ? or(text(''), text('\n')) : text('\n');
    return seq(call, repeat(seq(between, call), 0, null));
  }

  #whole(): GrammarNode {
    const { calls } = this.#form;
    if (calls === 'llama' || calls === 'gemma') return this.#anyTool();
    return seq(this.#mark(this.#opener()), this.#behindOpener());
  }

  #opener(): string {
    const marks = this.#marks();
    if (marks) return marks.section[0];
    return this.#form.calls === 'mistral' ? '[TOOL_CALLS]' : '<tool_call>';
  }

  /** Calls of one marker stand in a list. */
  #isList(): boolean {
    if (this.#marks()) return true;
    return this.#form.calls === 'mistral' && !this.#vocabulary.hasAdded('[ARGS]');
  }

  #marks(): Marks | undefined {
    const { calls } = this.#form;
    if (calls === 'kimi') return kimiMarks;
    return calls === 'deepseek' || calls === 'deepseek-r1' ? deepseekMarks : undefined;
  }

  #behindOpener(): GrammarNode {
    const { calls, parallel } = this.#form;
    const marks = this.#marks();
    const tool = this.#anyTool();
    if (marks) {
      const between = calls === 'deepseek-r1' ? text('\n') : text('');
      const more = parallel ? repeat(seq(between, tool), 0, null) : text('');
      return seq(tool, more, this.#mark(marks.section[1]));
    }
    if (calls === 'glm') return seq(tool, this.#mark('</tool_call>'));
    if (calls !== 'mistral') return seq(text('\n'), tool, text('\n'), this.#mark('</tool_call>'));
    if (!this.#isList()) return tool;
    const more = parallel ? repeat(seq(commaNode(this.#builder), tool), 0, null) : text('');
    const gap = gapNode(this.#builder);
    return seq(or(text('['), text(' [')), gap, tool, more, gap, text(']'));
  }

  #anyTool(): GrammarNode {
    return this.#builder.shared('tool', () => or(...this.#tools().map((tool) => this.#tool(tool))));
  }

  #tools(): readonly ToolDefinition[] {
    const { tools, toolChoice } = this.#options;
    return typeof toolChoice === 'object' ? tools.filter((tool) => tool.name === toolChoice.name) : tools;
  }

  #tool(tool: ToolDefinition): GrammarNode {
    const { calls } = this.#form;
    if (calls === 'qwen-coder') return this.#coderTool(tool);
    if (calls === 'glm') return this.#glmTool(tool);
    const args = this.#arguments(tool);
    const marks = this.#marks();
    if (marks) return this.#markedTool(tool.name, args, marks);
    const name = JSON.stringify(tool.name);
    if (calls === 'mistral' && !this.#isList()) return seq(text(tool.name), this.#mark('[ARGS]'), args);
    const key = calls === 'hermes' || calls === 'mistral' ? 'arguments' : 'parameters';
    const id =
      calls === 'mistral'
        ? optional(seq(commaNode(this.#builder), text('"id"'), colon, text('"'), mistralId, text('"')))
        : text('');
    const gap = gapNode(this.#builder);
    const begun = seq(text('{'), gap, text('"name"'), colon, text(name), commaNode(this.#builder));
    return seq(begun, text(`"${key}"`), colon, args, id, gap, text('}'));
  }

  #markedTool(name: string, args: GrammarNode, marks: Marks): GrammarNode {
    const call = (head: GrammarNode, ...body: GrammarNode[]) =>
      seq(this.#mark(marks.begin), head, this.#mark(marks.separator), ...body, this.#mark(marks.end));
    if (this.#form.calls === 'deepseek-r1') {
      return call(text('function'), text(`${name}\n\`\`\`json\n`), args, text('\n```'));
    }
    if (this.#form.calls === 'deepseek') return call(text(name), args);
    return call(seq(text(`functions.${name}:`), repeat(chars([0x30, 0x39]), 1, 4)), args);
  }

  #coderTool(tool: ToolDefinition): GrammarNode {
    const args = taggedArguments(this.#builder, tool, {
      before: (name) => text(`<parameter=${name}>\n`),
      close: this.#marker('</parameter>'),
      gap: text('\n'),
      after: text('\n'),
    });
    return seq(text(`<function=${tool.name}>\n`), args, text('</function>'));
  }

  /** Its models put line breaks between the tags, or nothing. */
  #glmTool(tool: ToolDefinition): GrammarNode {
    const gap = or(text(''), text('\n'));
    const args = taggedArguments(this.#builder, tool, {
      before: (name) =>
        seq(this.#mark('<arg_key>'), text(name), this.#mark('</arg_key>'), gap, this.#mark('<arg_value>')),
      close: this.#marker('</arg_value>'),
      gap: text(''),
      after: gap,
    });
    return seq(text(tool.name), gap, args);
  }

  /** A schema that cannot be enforced binds only where the tool asks to be held to it. What is none is refused. */
  #arguments(tool: ToolDefinition): GrammarNode {
    const { parameters, strict, name } = tool;
    if (parameters === undefined) return jsonObjectNode(this.#builder);
    const where = `tools.${name}.parameters`;
    const held = () => schemaNode(this.#builder, { type: 'object', ...parameters }, where);
    if (strict) return held();
    try {
      return this.#builder.attempt(held);
    } catch (error) {
      if (!(error instanceof StompError) || error instanceof MalformedSchema) throw error;
      return jsonObjectNode(this.#builder);
    }
  }

  #harmony(said: GrammarNode | undefined, mayCall: boolean, forced: boolean): GrammarNode {
    const message = (header: string, body: GrammarNode) =>
      seq(this.#mark('<|channel|>'), text(header), this.#mark('<|message|>'), body);
    const anyText = repeat(anyChar, 0, null);
    const next = seq(this.#mark('<|end|>'), this.#mark('<|start|>'), text('assistant'));
    const aside = (header: string) => optional(seq(message(header, anyText), next));
    const final = message('final', said ?? anyText);
    const calls = this.#tools().map((tool) => this.#harmonyCall(tool));
    const answer = forced ? or(...calls) : or(final, ...(mayCall ? calls : []));
    return seq(aside('analysis'), aside('commentary'), answer);
  }

  #harmonyCall(tool: ToolDefinition): GrammarNode {
    const to = text(`commentary to=functions.${tool.name} `);
    const json = seq(this.#mark('<|constrain|>'), text('json'), this.#mark('<|message|>'));
    return seq(this.#mark('<|channel|>'), to, json, this.#arguments(tool));
  }

  #marker(marker: string): FreeText {
    const id = this.#vocabulary.hasAdded(marker) ? this.#vocabulary.tokenId(marker) : undefined;
    return { marker, token: id, special: id !== undefined && this.#vocabulary.isSpecial(id) };
  }

  #mark(marker: string): GrammarNode {
    const { token: id } = this.#marker(marker);
    return id === undefined ? text(marker) : token(id);
  }
}

const mistralId = repeat(chars([0x30, 0x39], [0x41, 0x5a], [0x61, 0x7a]), 9, 9);
const anyChar = chars([0, 0xd7ff], [0xe000, 0x10ffff]);
