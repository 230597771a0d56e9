// See step_plan.h.
#include "exec/mlx/step_plan.h"

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

/// The blocks of `table` that hold the span's tokens, and each row's slot.
void add_blocks(
    StepPlan& plan,
    Span& span,
    const std::vector<BlockId>& table,
    int group,
    int block_tokens,
    int capacity) {
  const int needed = (span.length + block_tokens - 1) / block_tokens;
  require(
      static_cast<int>(table.size()) >= needed,
      "a block table has no room for its tokens");
  for (int i = 0; i < needed; i++) {
    require(
        table[i] >= 0 && table[i] < capacity,
        "a block table names a block that does not exist");
  }
  span.blocks.emplace_back(table.begin(), table.begin() + needed);
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
          plan,
          span,
          slice.table->blocks[g],
          g,
          spec.block_tokens,
          blocks_per_group[g]);
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
