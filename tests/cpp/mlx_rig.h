// What the MLX executor's tests run on: an executor with a model and a small
// pool, and sequences whose blocks lie scattered in it.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cache/cache_spec.h"
#include "check.h"
#include "exec/executor.h"
#include "model/model_file.h"
#include "reference_llama.h"

namespace mlx_rig {

/// The MLX executor's library that this program was built with; empty: none.
std::string built_library();

/// The library to test: STOMP_MLX_LIBRARY, else built_library().
inline std::string library() {
  const char* path = std::getenv("STOMP_MLX_LIBRARY");
  return path ? path : built_library();
}

/// False, and a line, when there is no library to test. A run that must test
/// it sets STOMP_REQUIRE_MLX.
inline bool built() {
  if (!library().empty()) {
    return true;
  }
  check::equal(
      std::getenv("STOMP_REQUIRE_MLX") == nullptr,
      true,
      "the MLX executor is built",
      __FILE__,
      __LINE__);
  std::printf("skip  the MLX executor was not built\n");
  return false;
}

/// An environment variable, meanwhile.
struct Setting {
  Setting(const char* n, const char* value) : name(n) {
    setenv(name, value, 1);
  }
  ~Setting() { unsetenv(name); }
  const char* name;
};

// With the Primitives that write in place, and as GPUs run it.
constexpr const char* kDevices[] = {"cpu", "cpu:stock"};

/// Where tests run that any device passes: STOMP_TEST_DEVICE, else "cpu".
inline std::string test_device() {
  const char* device = std::getenv("STOMP_TEST_DEVICE");
  return device ? device : "cpu";
}

/// Index of the largest value, the lowest on ties.
inline int32_t best_of(std::span<const float> logits) {
  return static_cast<int32_t>(
      std::max_element(logits.begin(), logits.end()) - logits.begin());
}

constexpr int kBlockTokens = 16;
constexpr int kBlocks = 64;
constexpr int kMaxStepTokens = 256;

inline std::unique_ptr<stomp::Executor> executor(
    const std::string& device,
    int kv_bits = 16) {
  stomp::ExecutorOptions options;
  options.kv_bits = kv_bits;
  options.device = device;
  options.max_step_tokens = kMaxStepTokens;
  return stomp::make_mlx_executor(options, library());
}

inline std::shared_ptr<const stomp::Model> small_model() {
  return reference::random_model({});
}

/// `n` of small_model()'s tokens.
inline std::vector<int32_t> prompt_of(int n, uint32_t seed) {
  return reference::random_tokens(n, reference::Shape().vocab_size, seed);
}

struct Rig {
  std::shared_ptr<const stomp::Model> model;
  std::unique_ptr<stomp::Executor> run;
  stomp::ModelCacheSpec spec;
  int next_block = 0;

  explicit Rig(
      std::shared_ptr<const stomp::Model> m,
      const std::string& device = "cpu",
      int blocks = kBlocks,
      int kv_bits = 16)
      : model(std::move(m)), run(executor(device, kv_bits)) {
    run->load(model, [](double) {});
    spec = stomp::make_cache_spec(model->config, kBlockTokens, run->info().kv);
    run->allocate_pool(spec, std::vector<int>(spec.groups.size(), blocks));
  }

  /// A block not handed out before; neighbours are never handed out in a row.
  stomp::BlockId block() { return next_block++ * 37 % kBlocks; }

  stomp::BlockTable table(int n_tokens) {
    stomp::BlockTable table;
    table.blocks.resize(spec.groups.size());
    for (int i = 0; i < n_tokens; i += kBlockTokens) {
      for (std::vector<stomp::BlockId>& group : table.blocks) {
        group.push_back(block());
      }
    }
    return table;
  }

  size_t block_bytes(int n_tokens) const {
    return n_tokens * spec.n_layers * spec.token_layer_bytes();
  }

  std::vector<std::byte> read(stomp::BlockId id, int n_tokens) {
    std::vector<std::byte> bytes(block_bytes(n_tokens));
    run->read_block(0, id, n_tokens, bytes);
    return bytes;
  }

  /// One slice, submitted and collected; its logits, copied.
  std::vector<float> feed(
      const stomp::BlockTable& table,
      std::span<const int32_t> tokens,
      int position,
      stomp::Output output) {
    stomp::Step step;
    step.slices.push_back(slice(table, tokens, position, output));
    const stomp::StepResult result = run->collect(run->submit(step));
    return {result.logits[0].begin(), result.logits[0].end()};
  }

  /// All logits of `tokens`, fed in pieces of at most `chunk`.
  std::vector<float> all_logits(
      const stomp::BlockTable& table,
      std::span<const int32_t> tokens,
      int chunk) {
    std::vector<float> all;
    for (size_t i = 0; i < tokens.size(); i += chunk) {
      const std::vector<float> part = feed(
          table,
          tokens.subspan(i, std::min<size_t>(chunk, tokens.size() - i)),
          static_cast<int>(i),
          stomp::Output::kAllLogits);
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  /// Logits after `tokens`, fed in several pieces where there are many.
  std::vector<float> last_logits(
      const stomp::BlockTable& table,
      std::span<const int32_t> tokens) {
    constexpr size_t kChunk = 100;
    size_t done = 0;
    for (; tokens.size() - done > kChunk; done += kChunk) {
      feed(
          table,
          tokens.subspan(done, kChunk),
          static_cast<int>(done),
          stomp::Output::kNone);
    }
    return feed(
        table,
        tokens.subspan(done),
        static_cast<int>(done),
        stomp::Output::kLogits);
  }

  /// `n` greedy tokens after `prompt`, a step each.
  std::vector<int32_t> greedy(std::vector<int32_t> prompt, int n) {
    const stomp::BlockTable own = table(static_cast<int>(prompt.size()) + n);
    std::vector<int32_t> out;
    int position = 0;
    while (static_cast<int>(out.size()) < n) {
      stomp::Step step;
      step.slices.push_back(
          slice(own, prompt, position, stomp::Output::kToken));
      position += static_cast<int>(prompt.size());
      out.push_back(run->collect(run->submit(step)).tokens[0]);
      prompt = {out.back()};
    }
    return out;
  }

  static stomp::Slice slice(
      const stomp::BlockTable& table,
      std::span<const int32_t> tokens,
      int position,
      stomp::Output output) {
    stomp::Slice slice;
    slice.tokens = tokens;
    slice.position = position;
    slice.table = &table;
    slice.decode = tokens.size() == 1;
    slice.output = output;
    return slice;
  }

  /// The token that slice `index` of `ticket` chose.
  static stomp::Slice follow(
      const stomp::BlockTable& table,
      stomp::Ticket ticket,
      int index,
      int position) {
    stomp::Slice slice;
    slice.source.ticket = ticket;
    slice.source.slice = index;
    slice.position = position;
    slice.table = &table;
    slice.decode = true;
    slice.output = stomp::Output::kToken;
    return slice;
  }
};

} // namespace mlx_rig
