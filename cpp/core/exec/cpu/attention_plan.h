// Who attends to which positions in a step: the step's attention cut into
// pieces of work that threads can take on their own. Engine thread; made once
// a step and read by all its layers.
//
// Prompts are cut into tiles of consecutive rows, each of which runs through
// its whole context. The context of an answer's row is cut into spans of
// kSpanTokens, aligned to absolute positions; rows whose caches have the same
// blocks in a span are worked on together, so that the blocks are read once.
#pragma once

#include <cstddef>
#include <vector>

#include "cache/cache_spec.h"
#include "exec/cpu/step_rows.h"

namespace stomp::cpu {

inline constexpr int kSpanTokens = 128;

/// Consecutive rows of one prompt.
struct PromptTile {
  int slice = 0;
  int row = 0; // of the step
  int n = 0;
  int position = 0; // of the first

  int last_position() const { return position + n - 1; }
};

/// Rows that see the same blocks in one span.
struct SharedSpan {
  int begin = 0; // position, multiple of kSpanTokens
  int end = 0;   // past the last position that a row attends to
  int first = 0; // in LayerGroupPlan::rows
  int n = 0;
  const BlockTable* table = nullptr;
};

/// Of the layers of one group.
struct LayerGroupPlan {
  std::vector<SharedSpan> spans; // those of the same rows in succession
  std::vector<int> rows;         // by span
  // By row:
  std::vector<int> first_span; // number of the first that it attends to
  std::vector<int> n_spans;
  std::vector<size_t> partial; // partial results of the rows before it
  size_t n_partials = 0;       // of one KV head, rows with one span left out
};

class AttentionPlan {
 public:
  struct Shape {
    int group = 1;       // query heads to a KV head
    int tile_tokens = 1; // of a prompt's tile
    int min_tiles = 0;   // fewer are taken apart into spans, where allowed
  };

  explicit AttentionPlan(const Shape& shape) : shape_(shape) {}

  /// Rows [0, n_spanned) go by spans, the others in tiles. `spec` gives the
  /// layer groups.
  void make(const StepRows& step, const ModelCacheSpec& spec, bool may_span);

  /// The longest first: what is handed out last decides when all are done.
  const std::vector<PromptTile>& tiles() const { return tiles_; }
  const LayerGroupPlan& group(int g) const { return groups_[g]; }
  int n_spanned() const { return n_spanned_; }
  /// Most rows of a tile.
  int tile_tokens() const { return shape_.tile_tokens; }

  /// Most rows that one span of work has.
  int max_span_rows() const;

 private:
  void make_tiles(const StepRows& step, int first_row);
  void make_group(
      const StepRows& step,
      const ModelCacheSpec& spec,
      const LayerGroup& kind,
      int group,
      LayerGroupPlan& plan);
  int sharing_for(
      const StepRows& step,
      int block_tokens,
      int group,
      int begin,
      int row);
  void share_span(
      const StepRows& step,
      int block_tokens,
      int group,
      int begin,
      LayerGroupPlan& plan);

  struct Sharing {
    int leader; // the row that sees most
    int n = 0;
  };

  Shape shape_;
  int n_spanned_ = 0;
  std::vector<PromptTile> tiles_;
  std::vector<LayerGroupPlan> groups_;
  std::vector<Sharing> sharings_; // of the span at hand
  std::vector<int> sharing_of_;   // by row; -1: not in the span
};

/// The first position that a row at `position` attends to.
inline int first_position(const LayerGroup& group, int position) {
  return group.kind == AttentionKind::kSliding && position >= group.window
      ? position - group.window + 1
      : 0;
}

} // namespace stomp::cpu
