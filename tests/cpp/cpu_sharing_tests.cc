// Sequences whose tables share blocks are worked on together, and none of
// them can tell: the same bits as with copies of its own.
#include <algorithm>
#include <span>
#include <vector>

#include "cpu_rig.h"

using namespace cpu_rig;

namespace {

constexpr int kSequences = 8;
constexpr int kSteps = 3;

/// One query head to a KV head, or three.
std::shared_ptr<const Model> model_of(int group) {
  reference::Shape shape;
  shape.format = WeightFormat::kQ4_1;
  shape.n_heads = 2 * group;
  shape.n_kv_heads = 2;
  shape.head_dim = 32;
  shape.d_model = 64;
  shape.d_ff = 64;
  shape.vocab_size = 50;
  shape.max_context = 1024;
  return reference::random_model(shape);
}

/// How much of the context sequence s has: all, or less by some blocks.
int context_of(int s, int context) {
  return std::max(1, s % 3 ? context : context - 37 * s);
}

/// Logits of every sequence and step, all of them in each step.
std::vector<Logits> answer_together(
    Rig& rig,
    std::vector<BlockTable>& tables,
    const std::vector<std::vector<int32_t>>& tokens) {
  std::vector<Logits> all(tables.size());
  for (int i = 0; i < kSteps; i++) {
    Step step;
    for (size_t s = 0; s < tables.size(); s++) {
      step.slices.push_back(
          rig.answer(tables[s], std::span(tokens[s]).subspan(i, 1)));
    }
    const StepResult result = rig.run(step);
    for (size_t s = 0; s < tables.size(); s++) {
      tables[s].n_tokens++;
      const auto& row = result.logits[s];
      all[s].insert(all[s].end(), row.begin(), row.end());
    }
  }
  return all;
}

/// What the window has passed may be gone from a table, as it is from some.
void drop_passed(Rig& rig, BlockTable& table) {
  const int passed = rig.spec.first_block(0, table.n_tokens);
  std::fill_n(table.blocks[0].begin(), passed, kNoBlock);
}

void check_sharing(
    const std::shared_ptr<const Model>& model,
    int context,
    const RigOptions& options) {
  Rig rig(model, options);
  const auto prompt = tokens_of(*model, context, 30);
  BlockTable root;
  rig.feed(root, prompt, 300);
  std::vector<std::vector<int32_t>> tokens;
  std::vector<BlockTable> shared, own;
  std::vector<Logits> alone;
  for (int s = 0; s < kSequences; s++) {
    const int n = context_of(s, context);
    tokens.push_back(tokens_of(*model, kSteps, 31 + s));
    // Whole blocks are shared; the last, partial one is copied to be written.
    shared.push_back(rig.fork(root, n, n / options.block_tokens));
    own.push_back(rig.fork(root, n));
    if (s % 2) {
      drop_passed(rig, shared.back());
    }
    BlockTable copy = rig.fork(root, n);
    alone.push_back(rig.answers(copy, tokens.back()));
  }
  const auto with_shared = answer_together(rig, shared, tokens);
  const auto with_own = answer_together(rig, own, tokens);
  for (int s = 0; s < kSequences; s++) {
    CHECK(same_bits(with_own[s], alone[s]));
    CHECK(same_bits(with_shared[s], alone[s]));
  }
}

constexpr int kContexts[] = {1, 63, 64, 65, 127, 128, 129, 300, 700};

} // namespace

TEST("cpu executor: eight that share blocks answer as with their own copies") {
  for (int group : {1, 3}) {
    const auto model = model_of(group);
    for (int context : kContexts) {
      for (bool exact : {true, false}) {
        RigOptions options;
        options.exact = exact;
        options.block_tokens = exact ? 64 : 16;
        check_sharing(model, context, options);
      }
    }
  }
}

TEST("cpu executor: eight that share blocks do so in windows, too") {
  for (int group : {1, 3}) {
    const auto model = model_of(group);
    for (int context : kContexts) {
      for (int window : {20, 64, 100, 200}) {
        RigOptions options;
        options.window = window;
        options.block_tokens = window == 64 ? 64 : 16;
        check_sharing(model, context, options);
      }
    }
  }
}

TEST("cpu executor: more than fit one span of work share blocks all the same") {
  // Sixteen heads to a KV head: four rows of a span at a time.
  reference::Shape shape;
  shape.format = WeightFormat::kQ4_0;
  shape.n_heads = 16;
  shape.n_kv_heads = 1;
  shape.head_dim = 32;
  shape.d_model = 64;
  shape.d_ff = 64;
  shape.vocab_size = 50;
  shape.max_context = 1024;
  const auto model = reference::random_model(shape);
  for (int threads : {1, 3}) {
    RigOptions options;
    options.threads = threads;
    check_sharing(model, 200, options);
  }
}

TEST("cpu executor: prompts that go on from shared blocks equal their own") {
  for (int group : {1, 3}) {
    const auto model = model_of(group);
    for (bool exact : {true, false}) {
      RigOptions options;
      options.exact = exact;
      options.block_tokens = 16;
      options.threads = 4; // so that few prompt rows are taken apart
      Rig rig(model, options);
      BlockTable root;
      rig.feed(root, tokens_of(*model, 300, 50), 300);
      std::vector<BlockTable> tables;
      std::vector<std::vector<int32_t>> tokens;
      std::vector<Logits> alone;
      for (int s = 0; s < 4; s++) {
        const int n = 300 - 50 * s;
        tables.push_back(rig.fork(root, n, n / 16));
        // Few, then many.
        tokens.push_back(tokens_of(*model, s < 3 ? 2 + 3 * s : 60, 51 + s));
        BlockTable copy = rig.fork(root, n);
        alone.push_back(rig.feed(copy, tokens.back(), 100));
      }
      for (int n : {1, 2, 3, 4}) {
        Step step;
        for (int s = 0; s < n; s++) {
          step.slices.push_back(
              rig.slice(tables[s], tokens[s], Output::kAllLogits));
        }
        const StepResult result = rig.run(step);
        for (int s = 0; s < n; s++) {
          CHECK(same_bits(result.logits[s], alone[s]));
        }
      }
    }
  }
}
