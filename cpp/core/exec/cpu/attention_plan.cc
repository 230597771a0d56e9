#include "exec/cpu/attention_plan.h"

#include <algorithm>

namespace stomp::cpu {

namespace {

// Query rows of one span's work: what a thread's scratch is made for.
constexpr int kMaxSpanQueries = 64;

/// Whether two rows' caches have the same blocks from `begin` to where the
/// shorter of them ends.
bool same_blocks(
    const BlockTable& a,
    const BlockTable& b,
    int group,
    int block_tokens,
    int begin,
    int end) {
  if (&a == &b) {
    return true;
  }
  for (int i = begin / block_tokens; i * block_tokens < end; i++) {
    if (a.blocks[group][i] != b.blocks[group][i]) {
      return false;
    }
  }
  return true;
}

const BlockTable& table_of(const StepRows& step, int row) {
  return *step.slices[step.slice_of[row]].slice->table;
}

} // namespace

int AttentionPlan::max_span_rows() const {
  return std::max(1, kMaxSpanQueries / shape_.group);
}

void AttentionPlan::make(
    const StepRows& step,
    const ModelCacheSpec& spec,
    bool may_span) {
  make_tiles(step, step.n_decode);
  n_spanned_ = step.n_decode;
  if (may_span && static_cast<int>(tiles_.size()) < shape_.min_tiles) {
    tiles_.clear();
    n_spanned_ = step.n();
  }
  groups_.resize(spec.groups.size());
  for (size_t g = 0; g < groups_.size(); g++) {
    make_group(step, spec, spec.groups[g], static_cast<int>(g), groups_[g]);
  }
}

void AttentionPlan::make_tiles(const StepRows& step, int first_row) {
  tiles_.clear();
  for (int s = 0; s < static_cast<int>(step.slices.size()); s++) {
    const SliceRows& rows = step.slices[s];
    if (rows.first < first_row) {
      continue;
    }
    for (int i = 0; i < rows.n; i += shape_.tile_tokens) {
      const int n = std::min(shape_.tile_tokens, rows.n - i);
      tiles_.push_back({s, rows.first + i, n, rows.slice->position + i});
    }
  }
  std::sort(
      tiles_.begin(),
      tiles_.end(),
      [](const PromptTile& a, const PromptTile& b) {
        return a.position != b.position ? a.position > b.position
                                        : a.row < b.row;
      });
}

void AttentionPlan::make_group(
    const StepRows& step,
    const ModelCacheSpec& spec,
    const LayerGroup& kind,
    int group,
    LayerGroupPlan& plan) {
  plan.spans.clear();
  plan.rows.clear();
  plan.first_span.resize(n_spanned_);
  plan.n_spans.resize(n_spanned_);
  plan.partial.resize(n_spanned_);
  plan.n_partials = 0;
  int begin = 0;
  int end = 0;
  for (int row = 0; row < n_spanned_; row++) {
    const int position = step.positions[row];
    const int first = first_position(kind, position) / kSpanTokens;
    const int last = position / kSpanTokens;
    plan.first_span[row] = first;
    plan.n_spans[row] = last - first + 1;
    plan.partial[row] = plan.n_partials;
    plan.n_partials += last > first ? last - first + 1 : 0;
    begin = row == 0 ? first : std::min(begin, first);
    end = std::max(end, last + 1);
  }
  for (int span = begin; span < end; span++) {
    share_span(step, spec.block_tokens, group, span * kSpanTokens, plan);
  }
  // A thread that goes on to the next span finds it where it has just been.
  std::sort(
      plan.spans.begin(),
      plan.spans.end(),
      [&plan](const SharedSpan& a, const SharedSpan& b) {
        const int row_a = plan.rows[a.first];
        const int row_b = plan.rows[b.first];
        return row_a != row_b ? row_a < row_b
            : a.n != b.n      ? a.n < b.n
                              : a.begin < b.begin;
      });
}

/// The sharing of the span at hand whose rows see what `row` sees; a new one if
/// there is none, or none with room.
int AttentionPlan::sharing_for(
    const StepRows& step,
    int block_tokens,
    int group,
    int begin,
    int row) {
  const int n = static_cast<int>(sharings_.size());
  for (int s = 0; s < n; s++) {
    const int leader = sharings_[s].leader;
    const int end = std::min(step.positions[leader], step.positions[row]) + 1;
    if (sharings_[s].n < max_span_rows() &&
        same_blocks(
            table_of(step, leader),
            table_of(step, row),
            group,
            block_tokens,
            begin,
            std::min(begin + kSpanTokens, end))) {
      if (step.positions[row] > step.positions[leader]) {
        sharings_[s].leader = row;
      }
      return s;
    }
  }
  sharings_.push_back({row});
  return n;
}

/// Sorts the rows that attend to the span by what blocks they see there.
void AttentionPlan::share_span(
    const StepRows& step,
    int block_tokens,
    int group,
    int begin,
    LayerGroupPlan& plan) {
  sharings_.clear();
  sharing_of_.assign(n_spanned_, -1);
  for (int row = 0; row < n_spanned_; row++) {
    const int number = begin / kSpanTokens - plan.first_span[row];
    if (number >= 0 && number < plan.n_spans[row]) {
      const int s = sharing_for(step, block_tokens, group, begin, row);
      sharings_[s].n++;
      sharing_of_[row] = s;
    }
  }
  for (size_t s = 0; s < sharings_.size(); s++) {
    const int leader = sharings_[s].leader;
    SharedSpan span;
    span.begin = begin;
    span.end = std::min(begin + kSpanTokens, step.positions[leader] + 1);
    span.first = static_cast<int>(plan.rows.size());
    span.n = sharings_[s].n;
    span.table = &table_of(step, leader);
    for (int row = 0; row < n_spanned_; row++) {
      if (sharing_of_[row] == static_cast<int>(s)) {
        plan.rows.push_back(row);
      }
    }
    plan.spans.push_back(span);
  }
}

} // namespace stomp::cpu
