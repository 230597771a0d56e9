// What a token's role means: with exact numerics nothing, otherwise which
// kernels compute it. An answer's row is the same in both, given one cache.
#include <algorithm>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "cpu_rig.h"
#include "exec/cpu/kernel_choice.h"

using namespace cpu_rig;

namespace {

RigOptions numerics(bool exact, const std::string& isa = "") {
  RigOptions options;
  options.exact = exact;
  options.isa = isa;
  return options;
}

/// Does this machine compute prompts with the matrix units?
bool fast_differs() {
  return cpu::available_kernels().front()->tiles != nullptr;
}

/// The cache of `from`, moved to an executor of its own.
BlockTable move(Rig& a, const BlockTable& from, Rig& b) {
  const int bt = a.spec.block_tokens;
  const BlockTable to = b.table_of(from.n_tokens);
  for (size_t i = 0; i < from.blocks[0].size(); i++) {
    const int n = std::min(bt, from.n_tokens - static_cast<int>(i) * bt);
    std::vector<std::byte> bytes(
        n * a.spec.n_layers * a.spec.token_layer_bytes());
    a.executor->read_block(0, from.blocks[0][i], n, bytes);
    b.executor->write_block(0, to.blocks[0][i], n, bytes);
  }
  return to;
}

std::vector<std::shared_ptr<const Model>> models() {
  return {
      grouped_model(),
      odd_model(),
      ragged_model(),
      mixture_model(),
      reference::random_model(small(WeightFormat::kQ4_1))};
}

} // namespace

TEST("cpu executor: exact, a prompt's token and an answer's are the same") {
  for (const auto& model : models()) {
    const auto tokens = tokens_of(*model, 200, 20);
    Rig rig(model, numerics(true));
    const Logits whole = rig.feed(tokens);
    BlockTable table;
    CHECK(same_bits(rig.answers(table, tokens), whole));
    // Half one, half the other.
    BlockTable mixed;
    Logits all = rig.feed(mixed, std::span(tokens).first(130), 50);
    const Logits rest = rig.answers(mixed, std::span(tokens).last(70));
    all.insert(all.end(), rest.begin(), rest.end());
    CHECK(same_bits(all, whole));
  }
}

TEST("cpu executor: fast, a prompt goes another way where there is one") {
  for (const auto& model : models()) {
    const auto tokens = tokens_of(*model, 100, 21);
    Rig fast(model, numerics(false));
    Rig exact(model, numerics(true));
    CHECK_EQUAL(
        fast.executor->info().numerics != exact.executor->info().numerics,
        fast_differs());
    const bool same = same_bits(fast.feed(tokens), exact.feed(tokens));
    CHECK_EQUAL(same, !fast_differs());
  }
  // And nowhere else: without matrix units fast is exact.
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    if (!kernels->tiles) {
      const auto model = grouped_model();
      const auto tokens = tokens_of(*model, 100, 21);
      Rig fast(model, numerics(false, kernels->isa));
      Rig exact(model, numerics(true, kernels->isa));
      CHECK_EQUAL(
          fast.executor->info().numerics, exact.executor->info().numerics);
      CHECK(same_bits(fast.feed(tokens), exact.feed(tokens)));
    }
  }
}

TEST("cpu executor: fast answers what exact answers, given the same cache") {
  for (const auto& model : models()) {
    for (int context : {1, 63, 130, 300}) {
      const auto tokens = tokens_of(*model, context + 6, 22);
      const auto prompt = std::span(tokens).first(context);
      const auto answer = std::span(tokens).last(6);
      Rig fast(model, numerics(false));
      BlockTable table;
      fast.feed(table, prompt, 100);
      const BlockTable kept = table;
      const Logits want = fast.answers(table, answer);
      for (const cpu::Kernels* kernels : cpu::available_kernels()) {
        Rig exact(model, numerics(true, kernels->isa));
        BlockTable moved = move(fast, kept, exact);
        CHECK(same_bits(exact.answers(moved, answer), want));
      }
    }
  }
}

namespace {

/// Sequences at one point of their lives: some are answering, some are in
/// their prompts. Running them leaves them where they are.
struct Company {
  Company(Rig& r, const Model& model) : rig(r) {
    constexpr int kContexts[] = {10, 100, 130, 260, 63, 0, 40, 128, 300};
    constexpr int kSizes[] = {1, 1, 1, 1, 1, 1, 20, 70, 33};
    for (size_t s = 0; s < std::size(kContexts); s++) {
      tokens.push_back(tokens_of(model, kContexts[s] + kSizes[s], 200 + s));
      BlockTable& table = tables.emplace_back();
      if (kContexts[s]) {
        rig.feed(table, std::span(tokens[s]).first(kContexts[s]), 100);
      }
    }
  }

  /// The first five answer.
  Slice slice(int s) {
    Slice one = rig.slice(
        tables[s],
        std::span(tokens[s]).subspan(tables[s].n_tokens),
        Output::kAllLogits);
    one.decode = s < 5;
    return one;
  }
  /// Logits of each of these, run in one step in this order.
  std::vector<Logits> run(const std::vector<int>& order) {
    Step step;
    for (int s : order) {
      step.slices.push_back(slice(s));
    }
    const StepResult result = rig.run(step);
    std::vector<Logits> logits(tables.size());
    for (size_t i = 0; i < order.size(); i++) {
      logits[order[i]].assign(result.logits[i].begin(), result.logits[i].end());
    }
    return logits;
  }

  Rig& rig;
  std::vector<std::vector<int32_t>> tokens;
  std::vector<BlockTable> tables;
};

} // namespace

TEST("cpu executor: answers and prompts share a step in any order of slices") {
  for (const auto& model : models()) {
    for (bool exact : {true, false}) {
      RigOptions options = numerics(exact);
      options.block_tokens = 16;
      Rig rig(model, options);
      Company company(rig, *model);
      const int n = static_cast<int>(company.tables.size());
      std::vector<Logits> alone;
      std::vector<int> order;
      for (int s = 0; s < n; s++) {
        alone.push_back(company.run({s})[s]);
        CHECK(!alone.back().empty());
        order.push_back(s);
      }
      std::mt19937 random(23);
      for (int round = 0; round < 8; round++) {
        std::shuffle(order.begin(), order.end(), random);
        // All of them, or some.
        const std::vector<int> some(
            order.begin(), order.begin() + (round % 2 ? n : 2 + round / 2));
        const auto together = company.run(some);
        for (int s : some) {
          CHECK(same_bits(together[s], alone[s]));
        }
      }
    }
  }
}
