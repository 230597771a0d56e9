// The documented order and fields of a stream of Anthropic's Messages API:
//   message_start (content_block_start content_block_delta* content_block_stop)* message_delta+ message_stop
// with pings anywhere between. https://docs.anthropic.com/en/docs/build-with-claude/streaming. Pure.

/** @typedef {{ event: string, data: { type: string } & Record<string, unknown> }} StreamEvent */

/** @returns {StreamEvent[]} @throws Error when the text is no stream of such events */
export function parseEvents(text) {
  return text
    .split('\n\n')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const [, event, data] = /^event: (\S+)\ndata: (.+)$/.exec(part) ?? [];
      if (event === undefined) throw new Error(`no event of a stream: ${part}`);
      return { event, data: JSON.parse(data) };
    });
}

/** What may follow what; a ping changes nothing. */
const successors = {
  begin: ['message_start'],
  message_start: ['content_block_start', 'message_delta'],
  content_block_start: ['content_block_delta', 'content_block_stop'],
  content_block_delta: ['content_block_delta', 'content_block_stop'],
  content_block_stop: ['content_block_start', 'message_delta'],
  message_delta: ['message_delta', 'message_stop'],
  message_stop: [],
};

const deltasOf = {
  text: ['text_delta', 'citations_delta'],
  thinking: ['thinking_delta', 'signature_delta'],
  tool_use: ['input_json_delta'],
};

const stopReasons = ['end_turn', 'max_tokens', 'stop_sequence', 'tool_use', 'pause_turn', 'refusal'];

const isCount = (value) => Number.isInteger(value) && value >= 0;

function messageFaults({ message }) {
  const { id, type, role, content, model, stop_reason, stop_sequence, usage } = message ?? {};
  const wanted = {
    id: typeof id === 'string' && id.startsWith('msg_'),
    type: type === 'message',
    role: role === 'assistant',
    content: Array.isArray(content) && content.length === 0,
    model: typeof model === 'string',
    stop_reason: stop_reason === null,
    stop_sequence: stop_sequence === null,
    usage: isCount(usage?.input_tokens) && isCount(usage?.output_tokens),
  };
  return Object.keys(wanted)
    .filter((field) => !wanted[field])
    .map((field) => `message_start has another ${field}`);
}

function endFaults({ delta, usage }) {
  const faults = [];
  if (!stopReasons.includes(delta?.stop_reason))
    faults.push(`message_delta has ${delta?.stop_reason} as reason`);
  if (delta?.stop_sequence === undefined) faults.push('message_delta has no stop_sequence');
  if (!isCount(usage?.output_tokens)) faults.push('message_delta has no usage');
  return faults;
}

/** Faults of one event's fields. @param open the block that is open: its number and kind */
const fieldFaults = {
  message_start: messageFaults,
  message_delta: endFaults,
  content_block_start: ({ index, content_block }, { number }) => [
    ...(index === number ? [] : [`block ${index} comes where block ${number} should`]),
    ...(content_block?.type in deltasOf ? [] : [`a block of kind ${content_block?.type}`]),
  ],
  content_block_delta: ({ index, delta }, { number, kind }) => [
    ...(index === number ? [] : [`a delta of block ${index} within block ${number}`]),
    ...((deltasOf[kind] ?? []).includes(delta?.type) ? [] : [`${delta?.type} in a block of kind ${kind}`]),
  ],
  content_block_stop: ({ index }, { number }) =>
    index === number ? [] : [`block ${index} ends within ${number}`],
};

/** Faults of one event that is no ping, behind `last`. @param open as of fieldFaults; kept up to date here */
function eventFaults({ event, data }, last, open) {
  const faults = successors[last]?.includes(event) ? [] : [`${event} after ${last}`];
  if (event === 'content_block_start') open.kind = data.content_block?.type;
  faults.push(...(fieldFaults[event]?.(data, open) ?? []));
  if (event === 'content_block_stop') open.number++;
  return faults;
}

/** @param {StreamEvent[]} events of one whole stream @returns {string[]} how it deviates; empty: in no way */
export function faultsOf(events) {
  const faults = events
    .filter(({ event, data }) => event !== data.type)
    .map(({ event, data }) => `event ${event} carries ${data.type}`);
  const open = { number: 0, kind: undefined };
  let last = 'begin';
  for (const one of events.filter(({ event }) => event !== 'ping')) {
    faults.push(...eventFaults(one, last, open));
    last = one.event;
  }
  if (last !== 'message_stop') faults.push(`it ends with ${last}`);
  return faults;
}
