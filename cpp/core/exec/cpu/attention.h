// Rope, append to the paged cache and causal attention over it, for a step.
// One user: the engine thread; the work is shared with the pool's threads.
//
// Positions are taken in pieces of kPieceTokens, aligned to absolute
// positions. Rows of answers run one online softmax through each span of
// kSpanTokens; spans are merged in ascending order, so that different threads
// may work on them. Prompts do the same, in longer spans with matrix units.
// Chunks, blocks and batches may be cut anyhow without changing a bit of a row.
#pragma once

#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "exec/cpu/attention_plan.h"
#include "exec/cpu/kernels.h"
#include "exec/cpu/kv_pool.h"
#include "exec/cpu/linear.h"
#include "exec/cpu/rope_table.h"
#include "exec/cpu/step_rows.h"
#include "model/config.h"

namespace stomp::cpu {

/// Where q, k and v of the step's rows lie.
struct QkvRows {
  float* rows = nullptr; // (n, stride)
  size_t stride = 0;
  int k = 0; // columns of k and v; q begins at 0
  int v = 0;

  float* row(int r) const { return rows + r * stride; }
};

class Attention {
 public:
  /// `tiles`: prompts on the matrix units. REQUIRES: kernels have them.
  Attention(
      const ModelConfig& config,
      const Kernels& kernels,
      ThreadPool& threads,
      bool tiles);
  ~Attention();

  /// REQUIRES: before the first step.
  void use(KvPool& pool) { pool_ = &pool; }

  /// Prepares for a step; its tables stay valid until the last run().
  void begin(const StepRows& step);

  /// Ropes q and k, appends k and v to the blocks of `layer` and puts the
  /// result, (n, n_heads * head_dim), into `out`; `floats` is room for it.
  /// sinks: (n_heads) scores beside those of the keys, or empty.
  void run(
      const QkvRows& qkv,
      int layer,
      const std::vector<float>& sinks,
      float* floats,
      const LinearRunner& runner,
      const LinearRows& out);

  size_t scratch_bytes() const;

 private:
  struct Scratch; // of one thread

  /// What the threads need to know of a layer's run.
  struct Layer {
    QkvRows qkv;
    int index;
    const LayerGroup* kind;
    const LayerGroupPlan* plan;
    const RopeTable* rope;
    const float* sinks; // (n_heads), or null
    float* floats;
    const LinearRunner* runner;
    const LinearRows* out;
  };

  void append_prompts(const Layer& layer);
  void turn(const Layer& layer, int row, float* head, float scale) const;
  void append_head(const Layer& layer, int row, int kv_head);
  void run_tiles(const Layer& layer);
  void run_spans(const Layer& layer);
  void merge_spans(const Layer& layer);
  static bool
  same_rows(const Layer& layer, const SharedSpan& a, const SharedSpan& b);
  AttentionPiece piece_at(
      const BlockTable& table,
      int layer,
      int kv_head,
      int at,
      int end) const;
  void add_row(const Layer& layer, int kv_head, int row, Scratch& scratch)
      const;
  void turn_rows(
      const Layer& layer,
      const SharedSpan& span,
      int kv_head,
      Scratch& scratch) const;
  void attend_pieces(
      const Layer& layer,
      const BlockTable& table,
      int kv_head,
      int begin,
      int end,
      const AttentionRows& rows,
      const AttentionPiece* after,
      Scratch& scratch) const;
  void attend_tile(
      const Layer& layer,
      const PromptTile& tile,
      int kv_head,
      Scratch& scratch) const;
  int first_piece(const Layer& layer, const PromptTile& tile) const;
  void load_tile(
      const Layer& layer,
      const PromptTile& tile,
      int kv_head,
      Scratch& scratch) const;
  void finish_tile(
      const Layer& layer,
      const PromptTile& tile,
      int kv_head,
      const AttentionRows& all) const;
  void load_matrix_tile(
      const Layer& layer,
      const PromptTile& tile,
      int kv_head,
      Scratch& scratch) const;
  void attend_matrix_span(
      const Layer& layer,
      const PromptTile& tile,
      int kv_head,
      int begin,
      const AttentionRows& state,
      Scratch& scratch) const;
  void attend_matrix_tile(
      const Layer& layer,
      const PromptTile& tile,
      int kv_head,
      Scratch& scratch) const;
  bool split_tiles(const Layer& layer);
  void run_tile_spans(const Layer& layer);
  size_t tile_partial_rows() const;
  size_t tile_partial_floats() const;
  AttentionRows tile_partial(size_t span, int rows);
  int span_begin(const Layer& layer, const SharedSpan& span) const;
  void attend_span(
      const Layer& layer,
      const SharedSpan& span,
      const SharedSpan* after,
      int kv_head,
      Scratch& scratch);
  void merge_row(const Layer& layer, int row, int kv_head);
  void add_sinks(const Layer& layer, const AttentionRows& rows, int kv_head)
      const;
  void finish(
      const Layer& layer,
      const AttentionRows& rows,
      int first,
      int row,
      int kv_head,
      int out_stride) const;
  AttentionRows
  partial(const LayerGroupPlan& plan, int kv_head, int row, int span);

  const ModelConfig& config_;
  const Kernels& kernels_;
  ThreadPool& threads_;
  const bool matrix_tiles_;
  KvPool* pool_ = nullptr;
  RopeTable rope_;
  RopeTable local_rope_; // of sliding layers, if they have their own
  // A partial result that saw the sinks alone: sums and outputs of a group.
  std::vector<float> ones_;
  std::vector<float> zeros_;
  const StepRows* step_ = nullptr;
  int group_; // query heads to a KV head
  // Rows before it append their own K and V when they attend, and turn their
  // queries there: each is all of its slice.
  int n_single_ = 0;
  AttentionPlan plan_;
  std::vector<std::unique_ptr<Scratch>> scratch_; // by worker
  // Running softmax: maxima, sums, outputs. By KV head, row and span, or by
  // the spans of tiles.
  std::vector<float> partials_;
  // Of a prompt tile that several threads attend with: head, span.
  struct TileSpan {
    int tile;
    int kv_head;
    int begin;
  };
  std::vector<TileSpan> tile_spans_; // of a tile and head side by side
};

} // namespace stomp::cpu
