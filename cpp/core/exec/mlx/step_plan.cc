// See step_plan.h.
#include "exec/mlx/step_plan.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace stomp::mlx_exec {

namespace {

void require(bool condition, const std::string& what) {
  if (!condition) {
    throw Error(Code::kInvalidRequest, "a step was refused: " + what);
  }
}

void add_tokens(StepPlan& plan, const Slice& slice, int vocab_size) {
  const Ticket ticket = slice.source.ticket;
  if (plan.runs.empty() || plan.runs.back().ticket != ticket) {
    plan.runs.push_back({ticket, {}});
  }
  std::vector<int32_t>& values = plan.runs.back().values;
  if (ticket != kNoTicket) {
    values.push_back(slice.source.slice);
    return;
  }
  for (int32_t token : slice.tokens) {
    require(
        token >= 0 && token < vocab_size,
        "token " + std::to_string(token) + " is not in the vocabulary");
    values.push_back(token);
  }
}

/// The blocks of `table` that hold what the span's rows see, and each row's
/// slot.
void add_blocks(
    StepPlan& plan,
    Span& span,
    const std::vector<BlockId>& table,
    int group,
    const ModelCacheSpec& spec,
    int capacity) {
  const int block_tokens = spec.block_tokens;
  const int needed = spec.blocks_covering(span.length);
  require(
      static_cast<int>(table.size()) >= needed,
      "a block table has no room for its tokens");
  SpanKeys keys;
  const LayerGroup& layers = spec.groups[group];
  if (layers.kind == AttentionKind::kSliding) {
    keys.window = layers.window;
    keys.first = std::max(0, span.length - span.size + 1 - layers.window);
  }
  const int first = keys.first / block_tokens;
  keys.begin = first * block_tokens;
  for (int i = first; i < needed; i++) {
    require(
        table[i] >= 0 && table[i] < capacity,
        "a block table names a block that does not exist");
  }
  keys.blocks.assign(table.begin() + first, table.begin() + needed);
  span.keys.push_back(std::move(keys));
  for (int p = span.length - span.size; p < span.length; p++) {
    plan.slots[group].push_back(
        table[p / block_tokens] * block_tokens + p % block_tokens);
  }
}

void add_output(StepPlan& plan, const Slice& slice, const Span& span) {
  Wanted wanted{slice.output, static_cast<int>(plan.output_rows.size()), 0};
  if (slice.output != Output::kNone) {
    wanted.size = slice.output == Output::kAllLogits ? span.size : 1;
  }
  const int end = span.first + span.size;
  for (int row = end - wanted.size; row < end; row++) {
    plan.output_rows.push_back(row);
  }
  plan.wanted.push_back(wanted);
}

} // namespace

StepPlan plan_step(
    const Step& step,
    const ModelCacheSpec& spec,
    const std::vector<int>& blocks_per_group,
    int vocab_size,
    int max_rows) {
  const int groups = static_cast<int>(spec.groups.size());
  StepPlan plan;
  plan.slots.resize(groups);
  for (const Slice& slice : step.slices) {
    require(slice.size() > 0, "a slice is empty");
    require(slice.position >= 0, "a position is negative");
    require(
        slice.table && static_cast<int>(slice.table->blocks.size()) == groups,
        "a slice has no block table");
    add_tokens(plan, slice, vocab_size);
    Span span{plan.rows(), slice.size(), slice.position + slice.size(), {}};
    for (int i = 0; i < span.size; i++) {
      plan.positions.push_back(slice.position + i);
    }
    for (int g = 0; g < groups; g++) {
      add_blocks(
          plan, span, slice.table->blocks[g], g, spec, blocks_per_group[g]);
    }
    add_output(plan, slice, span);
    plan.spans.push_back(std::move(span));
  }
  require(!step.slices.empty(), "it has no slices");
  require(
      plan.rows() <= max_rows,
      std::to_string(plan.rows()) + " rows are more than " +
          std::to_string(max_rows));
  return plan;
}

} // namespace stomp::mlx_exec
