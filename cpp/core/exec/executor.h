// The engine's seam: what runs a step. One user: the engine thread, which
// creates, calls and destroys the executor.
//
// A step is ragged: it carries runs of consecutive tokens ("slices") of many
// sequences, decode rows and prefill chunks alike. The executor owns the
// pool's bytes and their layout; the engine owns which block holds what.
//
// Stepping is asynchronous by contract: submit() may return before the device
// is done, and a slice may take its token from an earlier, not yet collected
// step (Slice::source). collect() waits. Tickets are collected in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cache/block_table.h"
#include "cache/cache_spec.h"
#include "model/model_file.h"

namespace stomp {

using Ticket = uint64_t;
inline constexpr Ticket kNoTicket = 0;

/// What a slice wants back.
enum class Output : uint8_t {
  kNone,      // a prefill chunk that is not the last
  kToken,     // the arg max of the last row's logits (lowest id on ties)
  kLogits,    // kToken, and the last row's logits
  kAllLogits, // the logits of every row (scoring); token of the last row
};

/// Consecutive tokens of one sequence. Everything pointed to must stay valid
/// until submit() returns.
struct Slice {
  std::span<const int32_t> tokens; // size n >= 1; ignored if source is set
  // When source.ticket != kNoTicket: one token, the one that this earlier
  // step's slice `source.slice` produced, still on the device.
  struct {
    Ticket ticket = kNoTicket;
    int slice = 0;
  } source;
  int position = 0; // of the first token; K and V of [0, position) are in
  // the blocks already
  const BlockTable* table = nullptr; // room reserved for the tokens
  bool decode = false; // the token's role: one generated token, not prompt
  Output output = Output::kNone;

  int size() const {
    return source.ticket != kNoTicket ? 1 : static_cast<int>(tokens.size());
  }
};

struct Step {
  std::vector<Slice> slices; // one per sequence at most
};

/// Indexed by slice. Logits point into the executor and are valid until the
/// next submit() or collect(). Whoever steps keeps one and hands it to every
/// collect(): its memory is used again.
struct StepResult {
  std::vector<int32_t> tokens;                // -1 where Output::kNone
  std::vector<std::span<const float>> logits; // (rows * vocab) or empty
};

struct ExecutorInfo {
  std::string name;   // "cpu" or "mlx"
  std::string device; // "cpu", "gpu:metal", "gpu:cuda"
  std::string isa;    // instruction set or kernels in use, for people
  // Part of prefix hashes and file fingerprints: caches of executors whose
  // arithmetic differs never meet.
  std::string numerics;
  int threads = 0;
  KvFormat kv; // of the pool; once a model is loaded
  // Rows of a prompt below which a step takes as long as with so many.
  int min_chunk_tokens = 4;
};

struct ExecutorMemory {
  size_t weights_bytes = 0; // packed or uploaded
  size_t pool_bytes = 0;    // reserved for the pool, touched or not
  size_t scratch_bytes = 0;
};

/// One try of kernels that an executor has of its own.
struct KernelCheck {
  std::string name;        // the shape
  std::string failure;     // empty: as it should be
  double difference = 0;   // the largest, as a share of the largest result
  double microseconds = 0; // of one layer's attention
};

struct ExecutorOptions {
  int threads = 0;           // 0: by the machine
  int max_step_tokens = 576; // rows a step may carry
  bool exact = false;        // numerics: exact
  int kv_bits = 16;          // of the pool's K and V: 16, 8 or 4
  // MLX: "cpu", "gpu", or empty for the best there is; "cpu:stock" is the CPU
  // with none but MLX's own operations, as GPUs run (for tests).
  std::string device;
};

class Executor {
 public:
  virtual ~Executor() = default;

  virtual ExecutorInfo info() const = 0;
  virtual ExecutorMemory memory() const = 0;

  /// Packs or uploads the weights; progress in [0, 1]. Called once, first.
  virtual void load(
      std::shared_ptr<const Model> model,
      const std::function<void(double)>& progress) = 0;

  /// Reserves the pool. Called once, after load().
  virtual void allocate_pool(
      const ModelCacheSpec& spec,
      const std::vector<int>& blocks_per_group) = 0;

  /// REQUIRES: at most max_step_tokens rows; every table has room.
  virtual Ticket submit(const Step& step) = 0;
  /// Replaces what `result` holds.
  virtual void collect(Ticket ticket, StepResult& result) = 0;
  StepResult collect(Ticket ticket) {
    StepResult result;
    collect(ticket, result);
    return result;
  }

  /// Work of the engine's own between two steps, such as sampling: calls f(i)
  /// once for every i in [0, n), in any order, and returns when all calls have.
  /// An executor that has threads of its own lends them, so that the engine
  /// need not keep a second set that would compete for the same cores.
  /// f must not throw.
  virtual void parallel(int n, const std::function<void(int)>& f) {
    for (int i = 0; i < n; i++) {
      f(i);
    }
  }

  /// Tries the executor's own kernels against stock operations; empty where it
  /// has none.
  virtual std::vector<KernelCheck> check_kernels() { return {}; }

  /// Ordered with respect to steps: takes effect after those submitted before
  /// and ahead of those submitted later.
  virtual void copy_blocks(std::span<const BlockCopy> copies) = 0;

  /// From within parallel(), blocks that differ may be written at once.
  ///
  /// One block to and from the neutral layout, see docs/format.md: for each
  /// layer of the group in order K, then V. Each is (n_tokens, n_kv_heads,
  /// dim) elements, row-major, or the codes in their place, followed by the
  /// scales and, if there are any, the biases, (n_tokens, n_kv_heads, groups)
  /// each. What is written is read again to the bit.
  /// Size of `bytes`: n_tokens * layers in group * token_layer_bytes.
  virtual void read_block(
      int group,
      BlockId id,
      int n_tokens,
      std::span<std::byte> bytes) = 0;
  virtual void write_block(
      int group,
      BlockId id,
      int n_tokens,
      std::span<const std::byte> bytes) = 0;
};

/// The CPU executor: always there. Throws kInvalidRequest for kv_bits that
/// there are not, as the MLX executor does.
std::unique_ptr<Executor> make_cpu_executor(const ExecutorOptions& options);

/// The MLX executor, from the shared library `library_path` opened on demand.
/// Throws kExecutorUnavailable saying what is missing.
std::unique_ptr<Executor> make_mlx_executor(
    const ExecutorOptions& options,
    const std::string& library_path);

} // namespace stomp
