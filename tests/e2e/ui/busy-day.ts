/** Six agents at work, five of which wait for the person. */
import type { ClutchModel } from './clutch-model.js';

export function busyDay(model: ClutchModel): void {
  const now = Date.now();
  const begun = (id: string, prompt: string, status: 'sending' | 'awaiting_approval', min: number) =>
    model.start({
      id,
      agent_id: id,
      prompt,
      status,
      created_at: now - min * 60_000,
      rounds: 3,
      usage: { input_tokens: 48_200, cached_tokens: 44_900, output_tokens: 2310 },
    });
  const track = model.start({
    id: 'planner',
    agent_id: 'planner',
    prompt: 'Move the shop to the new payment service',
    status: 'awaiting_approval',
    created_at: now - 900_000,
    tickets: [
      {
        id: 'schema',
        role: 'migrator',
        prompt: 'Add the tables',
        depends_on: [],
        status: 'done',
        run_id: 'migrator',
      },
      {
        id: 'api',
        role: 'builder',
        prompt: 'Call the new service',
        depends_on: ['schema'],
        status: 'running',
      },
      { id: 'docs', role: 'writer', prompt: 'Describe it', depends_on: ['api'], status: 'waiting' },
    ],
  });
  const builder = begun(
    'builder',
    'Round the total of the cart half to even, and test it',
    'awaiting_approval',
    12,
  );
  const tester = begun(
    'tester',
    'Find out why the checkout test fails every tenth time',
    'awaiting_approval',
    9,
  );
  const reviewer = begun('reviewer', 'Review the changes of today', 'sending', 7);
  const writer = begun('writer', 'Write down how refunds work', 'awaiting_approval', 5);
  const migrator = begun('migrator', 'Add the tables for the payment service', 'awaiting_approval', 15);

  model.ask(builder, {
    created_at: now - 240_000,
    deadline_at: now + 1_320_000,
    tool: 'edit_file',
    preview: {
      title: 'Edit /home/ann/shop/src/cart/checkout.ts',
      diff:
        '--- /home/ann/shop/src/cart/checkout.ts\n+++ /home/ann/shop/src/cart/checkout.ts\n@@ -18,7 +18,8 @@\n ' +
        'export function total(items: readonly Item[]): Money {\n   const sum = items.reduce((all, item) => all + item.price * item.count, 0);\n' +
        '-  return Math.round(sum);\n+  // Half to even, as the accounts have it.\n+  return roundHalfEven(sum);\n }\n \n export function tax(amount: Money): Money {\n',
    },
    payload: {
      path: '/home/ann/shop/src/cart/checkout.ts',
      old_text: '  return Math.round(sum);',
      new_text: '  // Half to even, as the accounts have it.\n  return roundHalfEven(sum);',
      expected_replacements: 1,
    },
  });
  model.ask(tester, {
    created_at: now - 100_000,
    deadline_at: now + 50_000,
    payload: {
      script: 'set -eu\nfor n in $(seq 20); do\n  npm test -- checkout || exit 1\ndone',
      base_dir: '/home/ann/shop',
      timeout_s: 60,
    },
  });
  model.ask(track, {
    created_at: now - 60_000,
    kind: 'spawn',
    ticket_id: 'api',
    preview: { title: 'Begin a run for the ticket api, as builder' },
    payload: {
      role: 'builder',
      prompt: 'Call the new service',
      context_md: '# Payment service\n\nSee docs/pay.md.',
    },
  });
  model.ask(writer, {
    created_at: now - 20_000,
    kind: 'ask',
    tool: 'ask_person',
    preview: { title: 'Are partial refunds allowed after 30 days?' },
    payload: {
      question: 'Are partial refunds allowed after 30 days?',
      choices: ['Yes, always', 'Only for defects', 'No'],
      answer: null,
    },
  });
  model.ask(migrator, {
    created_at: now - 10_000,
    kind: 'step',
    preview: {
      title: '2 calls: Create /home/ann/shop/sql/pay.sql (2 lines, 61 bytes); Run a script in /home/ann/shop',
    },
    payload: {
      ticket_id: 'schema',
      calls: [
        {
          position: 0,
          tool: 'write_file',
          payload: {
            path: '/home/ann/shop/sql/pay.sql',
            content: 'CREATE TABLE payments (\n  id TEXT PRIMARY KEY\n);\n',
            expected_sha256: null,
          },
        },
        {
          position: 1,
          tool: 'run_script',
          payload: { script: 'npm run migrate', base_dir: '/home/ann/shop', timeout_s: 60 },
        },
      ],
    },
  });
  model.emit('request_start', reviewer.id, {
    round: 4,
    provider: 'engine',
    model: 'qwen3-coder-30b',
    messages: 9,
  });
  model.emit('text', reviewer.id, {
    text: 'The change to `total` is right, but `tax` still rounds up. I would ',
    reasoning: '',
  });
}
