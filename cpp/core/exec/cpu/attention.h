// Rope, append to the paged cache and causal attention over it, for a step.
// One user: the engine thread; the work is shared with the pool's threads.
//
// Positions are taken in pieces of kPieceTokens and spans of kSpanTokens, both
// aligned to absolute positions. A span's pieces run through one online
// softmax; spans are merged in ascending order. Spans may therefore be worked
// on by different threads, and chunks, blocks and batches be cut anyhow,
// without changing a bit.
#pragma once

#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "exec/cpu/kernels.h"
#include "exec/cpu/kv_pool.h"
#include "exec/cpu/rope_table.h"
#include "exec/cpu/step_rows.h"
#include "model/config.h"

namespace stomp::cpu {

inline constexpr int kSpanTokens = 256;

/// Where q, k and v of the step's rows lie.
struct QkvRows {
  float* rows = nullptr; // (n, stride)
  size_t stride = 0;
  int k = 0; // columns of k and v; q begins at 0
  int v = 0;
};

class Attention {
 public:
  Attention(
      const ModelConfig& config,
      const Kernels& kernels,
      ThreadPool& threads);
  ~Attention();

  /// REQUIRES: before the first step.
  void use(KvPool& pool) { pool_ = &pool; }

  /// Prepares for a step; its tables stay valid until the last run().
  void begin(const StepRows& step);

  /// Ropes q and k in place, appends k and v to the blocks of `layer` and
  /// writes out (n, n_heads * head_dim).
  void run(const QkvRows& qkv, int layer, float* out);

  size_t scratch_bytes() const;

 private:
  struct Tile;    // consecutive rows of one slice
  struct Scratch; // of one thread

  void append(const QkvRows& qkv, int layer);
  void append_row(const QkvRows& qkv, int layer, int row, Scratch& scratch);
  int first_position(int layer, int position) const;
  int spans(const Tile& tile, int layer) const;
  bool plan_split(int layer);
  void set_rows(
      const Tile& tile,
      int kv_head,
      int layer,
      const QkvRows& qkv,
      Scratch& scratch) const;
  void attend_span(
      const Tile& tile,
      int kv_head,
      int layer,
      int span,
      const AttentionRows& rows,
      Scratch& scratch) const;
  void attend_tile(
      const Tile& tile,
      int kv_head,
      int layer,
      const QkvRows& qkv,
      float* out,
      Scratch& scratch) const;
  void attend_split(const QkvRows& qkv, int layer, float* out);
  void finish(
      const Tile& tile,
      int kv_head,
      const AttentionRows& rows,
      float* out) const;
  AttentionRows partial(int tile, int kv_head, int span);

  const ModelConfig& config_;
  const Kernels& kernels_;
  ThreadPool& threads_;
  KvPool* pool_ = nullptr;
  RopeTable rope_;
  const StepRows* step_ = nullptr;
  int group_; // query heads to a KV head
  int tile_tokens_;
  std::vector<Tile> tiles_;
  std::vector<std::unique_ptr<Scratch>> scratch_; // by worker
  std::vector<float> partials_; // running softmax by tile, KV head and span
};

} // namespace stomp::cpu
