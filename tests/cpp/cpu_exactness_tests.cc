// A token's arithmetic does not depend on who shares its step: the same bits
// however a prompt is cut, batched, threaded, paged, moved or copied. With
// either numerics; what roles and shared blocks promise has files of its own.
#include <algorithm>
#include <span>
#include <string>

#include "cpu_rig.h"
#include "exec/cpu/kernel_choice.h"

using namespace cpu_rig;
using reference::Shape;

namespace {

RigOptions numerics(bool exact, const std::string& isa = "") {
  RigOptions options;
  options.exact = exact;
  options.isa = isa;
  return options;
}

} // namespace

TEST("cpu executor: chunks of 1, 7 and 64 equal one prefill, to the bit") {
  for (const auto& model :
       {grouped_model(),
        odd_model(),
        ragged_model(),
        mixture_model(),
        reference::random_model(wide_shape(WeightFormat::kQ4_1)),
        reference::random_model(small())}) {
    const auto tokens = tokens_of(*model, 300, 4);
    for (bool exact : {true, false}) {
      Rig rig(model, numerics(exact));
      const Logits whole = rig.feed(tokens, 300);
      for (int chunk : {1, 7, 64, 256}) {
        CHECK(same_bits(rig.feed(tokens, chunk), whole));
      }
    }
  }
}

TEST("cpu executor: every instruction set takes chunks of any size alike") {
  const auto model = grouped_model();
  const auto tokens = tokens_of(*model, 150, 4);
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    for (bool exact : {true, false}) {
      Rig rig(model, numerics(exact, kernels->isa));
      const Logits whole = rig.feed(tokens, 150);
      for (int chunk : {1, 7, 64}) {
        CHECK(same_bits(rig.feed(tokens, chunk), whole));
      }
    }
  }
}

namespace {

constexpr int kSequences = 8;

/// Eight prompts fed together, odd ones in single tokens, even ones in chunks
/// that differ from step to step, until all are through.
std::vector<Logits> feed_together(
    Rig& rig,
    const std::vector<std::vector<int32_t>>& tokens) {
  std::vector<BlockTable> tables(kSequences);
  std::vector<Logits> together(kSequences);
  for (int round = 0;; round++) {
    Step step;
    std::vector<int> of;
    for (int s = 0; s < kSequences; s++) {
      const int done = tables[s].n_tokens;
      const int left = static_cast<int>(tokens[s].size()) - done;
      const int n = std::min(left, s % 2 ? 1 : 3 + (round + s) % 17);
      if (n > 0) {
        step.slices.push_back(rig.slice(
            tables[s],
            std::span(tokens[s]).subspan(done, n),
            Output::kAllLogits));
        of.push_back(s);
      }
    }
    if (of.empty()) {
      return together;
    }
    const StepResult result = rig.run(step);
    for (size_t i = 0; i < of.size(); i++) {
      Logits& all = together[of[i]];
      all.insert(all.end(), result.logits[i].begin(), result.logits[i].end());
      tables[of[i]].n_tokens += step.slices[i].size();
    }
  }
}

} // namespace

TEST("cpu executor: eight in a batch, in chunks of all sizes, equal alone") {
  for (const auto& model : {grouped_model(), odd_model(), mixture_model()}) {
    for (bool exact : {true, false}) {
      Rig rig(model, numerics(exact));
      std::vector<std::vector<int32_t>> tokens;
      for (int s = 0; s < kSequences; s++) {
        tokens.push_back(tokens_of(*model, 20 + 45 * s, 100 + s));
      }
      const auto together = feed_together(rig, tokens);
      for (int s = 0; s < kSequences; s++) {
        CHECK(same_bits(together[s], rig.feed(tokens[s])));
      }
    }
  }
}

TEST("cpu executor: one, two, three and five threads agree to the bit") {
  const auto model = grouped_model();
  const auto tokens = tokens_of(*model, 1400, 5);
  for (bool exact : {true, false}) {
    Logits first;
    for (int threads : {1, 2, 3, 5}) {
      RigOptions options = numerics(exact);
      options.threads = threads;
      Rig rig(model, options);
      CHECK_EQUAL(rig.executor->info().threads, threads);
      // Prefill, then answers at a depth where spans are split.
      BlockTable table;
      Logits all = rig.feed(table, std::span(tokens).first(1380), 290);
      for (const Logits& more :
           {rig.feed(table, std::span(tokens).subspan(1380, 10), 1),
            rig.answers(table, std::span(tokens).last(10))}) {
        all.insert(all.end(), more.begin(), more.end());
      }
      if (first.empty()) {
        first = all;
      }
      CHECK(same_bits(all, first));
    }
  }
}

TEST("cpu executor: exact, all instruction sets agree to the bit") {
  Shape affine = small(WeightFormat::kAffine);
  affine.bits = 3;
  affine.group = 64;
  for (const auto& model :
       {reference::random_model(small(WeightFormat::kQ8_0)),
        reference::random_model(small(WeightFormat::kF16)),
        reference::random_model(affine),
        grouped_model(),
        odd_model(),
        mixture_model(),
        reference::random_model(mixture_shape(WeightFormat::kF16))}) {
    const auto tokens = tokens_of(*model, 150, 6);
    Logits first;
    for (const cpu::Kernels* kernels : cpu::available_kernels()) {
      Rig rig(model, numerics(true, kernels->isa));
      CHECK_EQUAL(rig.executor->info().isa, std::string(kernels->isa));
      Logits all = rig.feed(tokens, 150);
      CHECK(same_bits(rig.feed(tokens, 11), all));
      BlockTable table;
      CHECK(same_bits(rig.answers(table, tokens), all));
      if (first.empty()) {
        first = all;
      }
      CHECK(same_bits(all, first));
    }
  }
}

TEST("cpu executor: blocks of 16, 48, 64 and 256 tokens agree to the bit") {
  const auto model = grouped_model();
  const auto tokens = tokens_of(*model, 400, 7);
  for (bool exact : {true, false}) {
    Logits first;
    for (int block_tokens : {16, 48, 64, 256}) {
      RigOptions options = numerics(exact);
      options.block_tokens = block_tokens;
      Rig rig(model, options);
      BlockTable table;
      Logits all = rig.feed(table, std::span(tokens).first(380), 100);
      const Logits more = rig.answers(table, std::span(tokens).last(20));
      all.insert(all.end(), more.begin(), more.end());
      if (first.empty()) {
        first = all;
      }
      CHECK(same_bits(all, first));
    }
  }
}

TEST("cpu executor: a sliding window sees its tokens and nothing before") {
  for (bool exact : {true, false}) {
    // With one layer, a window of w is the last w tokens at their positions.
    Shape shape = small();
    shape.n_layers = 1;
    const auto model = reference::random_model(shape);
    const auto tokens = tokens_of(*model, 200, 8);
    RigOptions windowed = numerics(exact);
    windowed.window = 70;
    windowed.block_tokens = 16;
    Rig rig(model, windowed);
    const Logits whole = rig.feed(tokens, 200);
    CHECK(same_bits(rig.feed(tokens, 1), whole));
    CHECK(same_bits(rig.feed(tokens, 33), whole));
    // Blocks that the window has passed may be gone.
    BlockTable table;
    rig.feed(table, std::span(tokens).first(190), 190);
    for (int i = 0; i < (190 - 70) / 16; i++) {
      table.blocks[0][i] = kNoBlock;
    }
    const Logits tail = rig.feed(table, std::span(tokens).last(10), 10);
    CHECK(same_bits(tail, std::span(whole).last(10 * rig.vocab())));
    // And a token that has left it makes no difference.
    auto other = tokens;
    other[100] = (other[100] + 1) % rig.vocab();
    const Logits changed = rig.feed(other, 200);
    const auto row = [&](const Logits& l, int i) {
      return std::span(l).subspan(size_t(i) * rig.vocab(), rig.vocab());
    };
    CHECK(!same_bits(row(changed, 169), row(whole, 169)));
    CHECK(same_bits(row(changed, 170), row(whole, 170)));
    // Global attention differs, so the window does something.
    CHECK(!same_bits(Rig(model, numerics(exact)).feed(tokens, 200), whole));
  }
}

TEST("cpu executor: a block read and written elsewhere goes on identically") {
  for (bool exact : {true, false}) {
    const auto model = grouped_model();
    const auto tokens = tokens_of(*model, 170, 9);
    for (int block_tokens : {16, 64}) {
      RigOptions options = numerics(exact);
      options.block_tokens = block_tokens;
      Rig a(model, options);
      Rig b(model, options);
      BlockTable from;
      const Logits whole = a.feed(tokens);
      a.feed(from, std::span(tokens).first(150), 150);
      BlockTable to;
      b.grow(to, 150);
      to.n_tokens = 150;
      for (size_t i = 0; i < from.blocks[0].size(); i++) {
        const int n =
            std::min(block_tokens, 150 - static_cast<int>(i) * block_tokens);
        std::vector<std::byte> bytes(
            n * model->config.n_layers * a.spec.token_layer_bytes());
        a.executor->read_block(0, from.blocks[0][i], n, bytes);
        b.executor->write_block(0, to.blocks[0][i], n, bytes);
        std::vector<std::byte> again(bytes.size());
        b.executor->read_block(0, to.blocks[0][i], n, again);
        CHECK(again == bytes);
      }
      const Logits tail = b.feed(to, std::span(tokens).last(20), 20);
      CHECK(same_bits(tail, std::span(whole).last(20 * a.vocab())));
    }
  }
}

TEST(
    "cpu executor: a copied block serves a sequence that parts from the "
    "first") {
  for (bool exact : {true, false}) {
    const auto model = grouped_model();
    const auto tokens = tokens_of(*model, 100, 10);
    Rig rig(model, numerics(exact));
    BlockTable first;
    rig.feed(first, std::span(tokens).first(90), 90);
    // The second sequence shares block 0 and copies 26 - 3 tokens of block 1.
    BlockTable second;
    rig.grow(second, 128);
    const BlockCopy copy{0, first.blocks[0][1], second.blocks[0][1], 23};
    rig.executor->copy_blocks({&copy, 1});
    second.blocks[0][0] = first.blocks[0][0];
    second.n_tokens = 64 + 23;
    auto parted = std::vector<int32_t>(tokens.begin(), tokens.begin() + 87);
    const auto rest = tokens_of(*model, 15, 11);
    parted.insert(parted.end(), rest.begin(), rest.end());
    const Logits tail = rig.feed(second, rest, 4);
    const Logits fresh = rig.feed(parted);
    CHECK(same_bits(tail, std::span(fresh).last(15 * rig.vocab())));
    // And the first goes on undisturbed.
    const Logits own = rig.feed(first, std::span(tokens).last(10), 3);
    const Logits whole = rig.feed(tokens);
    CHECK(same_bits(own, std::span(whole).last(10 * rig.vocab())));
  }
}
