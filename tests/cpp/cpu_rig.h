// What the tests of the CPU executor share: an executor with a pool and tables
// that grow on demand, and small models to run in it.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "cache/cache_spec.h"
#include "check.h"
#include "exec/executor.h"
#include "reference_llama.h"

namespace cpu_rig {

using namespace stomp;

using Logits = std::vector<float>; // rows of the vocabulary

inline const std::string kExactNumerics = "cpu-int8-v1-kv-f16";
inline const std::string kTileNumerics = "cpu-int8-bf16-v1-kv-f16";

struct RigOptions {
  int threads = 2;
  int block_tokens = 64;
  int window = 0; // tokens; 0: global attention
  int max_step_tokens = 576;
  std::string isa; // empty: the best
  bool exact = false;
  int kv_bits = 16;
};

/// An executor with a pool and a sequence's tables, grown on demand.
class Rig {
 public:
  explicit Rig(
      std::shared_ptr<const Model> model,
      const RigOptions& options = {})
      : model_(std::move(model)) {
    ExecutorOptions o;
    o.threads = options.threads;
    o.max_step_tokens = options.max_step_tokens;
    o.exact = options.exact;
    o.kv_bits = options.kv_bits;
    setenv("STOMP_CPU_ISA", options.isa.c_str(), 1);
    executor = make_cpu_executor(o);
    unsetenv("STOMP_CPU_ISA");
    executor->load(model_, [](double) {});
    spec = make_cache_spec(
        model_->config, options.block_tokens, executor->info().kv);
    if (options.window) {
      spec.groups[0].kind = AttentionKind::kSliding;
      spec.groups[0].window = options.window;
    }
    const int blocks = 16384 / options.block_tokens;
    executor->allocate_pool(spec, std::vector<int>(spec.groups.size(), blocks));
    // Out of order, as blocks of a pool in use are.
    free_.resize(blocks);
    std::iota(free_.begin(), free_.end(), 0);
    std::shuffle(free_.begin(), free_.end(), std::mt19937(7));
  }

  int vocab() const { return model_->config.vocab_size; }

  void grow(BlockTable& table, int n_tokens) {
    table.blocks.resize(spec.groups.size());
    while (static_cast<int>(table.blocks[0].size()) * spec.block_tokens <
           n_tokens) {
      for (std::vector<BlockId>& group : table.blocks) {
        group.push_back(free_.back());
        free_.pop_back();
      }
    }
  }

  /// A table with room for n_tokens, which it is said to hold.
  BlockTable table_of(int n_tokens) {
    BlockTable table;
    grow(table, n_tokens);
    table.n_tokens = n_tokens;
    return table;
  }

  /// A copy of the first n_tokens tokens of `from`, in blocks of its own but
  /// for the first n_shared.
  BlockTable fork(const BlockTable& from, int n_tokens, int n_shared = 0) {
    BlockTable to;
    to.n_tokens = n_tokens;
    for (const std::vector<BlockId>& group : from.blocks) {
      to.blocks.emplace_back(group.begin(), group.begin() + n_shared);
    }
    grow(to, n_tokens);
    for (int g = 0; g < static_cast<int>(to.blocks.size()); g++) {
      for (int i = n_shared; i < spec.blocks_covering(n_tokens); i++) {
        const int left = n_tokens - i * spec.block_tokens;
        const BlockCopy copy{
            g,
            from.blocks[g][i],
            to.blocks[g][i],
            std::min(left, spec.block_tokens)};
        executor->copy_blocks({&copy, 1});
      }
    }
    return to;
  }

  Slice
  slice(BlockTable& table, std::span<const int32_t> tokens, Output output) {
    grow(table, table.n_tokens + static_cast<int>(tokens.size()));
    Slice s;
    s.tokens = tokens;
    s.position = table.n_tokens;
    s.table = &table;
    s.output = output;
    return s;
  }

  /// One token of an answer.
  Slice answer(BlockTable& table, std::span<const int32_t> token) {
    Slice s = slice(table, token, Output::kLogits);
    s.decode = true;
    return s;
  }

  StepResult run(const Step& step) {
    return executor->collect(executor->submit(step));
  }

  /// Logits of every token, each an answer's: one step after the other.
  Logits answers(BlockTable& table, std::span<const int32_t> tokens) {
    Logits all;
    for (size_t i = 0; i < tokens.size(); i++) {
      const StepResult result = run({{answer(table, tokens.subspan(i, 1))}});
      table.n_tokens++;
      all.insert(all.end(), result.logits[0].begin(), result.logits[0].end());
    }
    return all;
  }

  /// Logits of every token, fed as a prompt in chunks.
  Logits feed(BlockTable& table, std::span<const int32_t> tokens, int chunk) {
    Logits all;
    for (size_t i = 0; i < tokens.size(); i += chunk) {
      const auto part =
          tokens.subspan(i, std::min<size_t>(chunk, tokens.size() - i));
      const StepResult result = run({{slice(table, part, Output::kAllLogits)}});
      table.n_tokens += static_cast<int>(part.size());
      CHECK_EQUAL(result.logits[0].size(), part.size() * vocab());
      all.insert(all.end(), result.logits[0].begin(), result.logits[0].end());
    }
    return all;
  }

  Logits feed(std::span<const int32_t> tokens, int chunk = 256) {
    BlockTable table;
    return feed(table, tokens, chunk);
  }

  std::unique_ptr<Executor> executor;
  ModelCacheSpec spec;

 private:
  std::shared_ptr<const Model> model_;
  std::vector<BlockId> free_;
};

inline std::vector<int32_t>
tokens_of(const Model& model, int n, uint32_t seed) {
  return reference::random_tokens(n, model.config.vocab_size, seed);
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() &&
      std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline reference::Shape small(WeightFormat format = WeightFormat::kF32) {
  reference::Shape shape;
  shape.format = format;
  return shape;
}

/// Quantised throughout, three query heads to a KV head, many spans' context.
inline std::shared_ptr<const Model> grouped_model() {
  reference::Shape shape;
  shape.format = WeightFormat::kQ4_1;
  shape.n_heads = 6;
  shape.n_kv_heads = 2;
  shape.head_dim = 64;
  shape.d_model = 96;
  shape.d_ff = 160;
  shape.vocab_size = 101;
  shape.max_context = 2048;
  return reference::random_model(shape);
}

/// Quantised and a query head to each KV head, whose size is no matrix unit's.
inline std::shared_ptr<const Model> odd_model() {
  reference::Shape shape;
  shape.format = WeightFormat::kQ8_0;
  shape.n_heads = 2;
  shape.n_kv_heads = 2;
  shape.head_dim = 48;
  shape.d_model = 64;
  shape.d_ff = 96;
  shape.vocab_size = 61;
  shape.max_context = 2048;
  shape.interleaved = false;
  return reference::random_model(shape);
}

/// Dense, with sizes that fill no block or tile.
inline std::shared_ptr<const Model> ragged_model() {
  reference::Shape shape = small(WeightFormat::kF16);
  shape.d_model = 100;
  shape.d_ff = 150;
  return reference::random_model(shape);
}

/// Experts of MXFP4 beside a dense layer, as in GPT-OSS: biases, sinks, a
/// window and clamped gates.
inline reference::Shape mixture_shape(WeightFormat format) {
  reference::Shape shape = small(format);
  shape.n_layers = 3;
  shape.interleaved = false;
  shape.qkv_bias = true;
  shape.o_bias = true;
  shape.sinks = true;
  shape.window = 50;
  shape.activation = Activation::kClampedSwiglu;
  shape.n_experts = 5;
  shape.n_chosen = 2;
  shape.expert_biases = true;
  shape.dense_layer = 1;
  return shape;
}

inline std::shared_ptr<const Model> mixture_model() {
  reference::Shape shape = mixture_shape(WeightFormat::kMxfp4);
  shape.window = 0; // tests copy the blocks of one group
  return reference::random_model(shape);
}

/// Rows longer than what the matrix units widen at once, everywhere.
inline reference::Shape wide_shape(WeightFormat format) {
  reference::Shape shape = small(format);
  shape.n_layers = 1;
  shape.d_model = 640;
  shape.n_heads = 20;
  shape.n_kv_heads = 5;
  shape.d_ff = 1216;
  return shape;
}

} // namespace cpu_rig
