// See attention_case.h.
#include "attention_case.h"

#include <cmath>
#include <limits>
#include <sstream>

#include "check.h"

namespace paged_rig {

namespace metal = stomp::mlx_exec::metal;
using stomp::mlx_exec::StepPlan;

namespace {

int ceil_div(int a, int b) {
  return (a + b - 1) / b;
}

/// Half a unit in the last place, relative.
double rounding_of(Element element) {
  switch (element) {
    case Element::kF16:
      return std::ldexp(1, -11);
    case Element::kBf16:
      return std::ldexp(1, -8);
    default:
      return std::ldexp(1, -24);
  }
}

} // namespace

AttentionCase::AttentionCase(
    Random& random,
    Attention attention,
    std::vector<SequenceRows> sequences,
    float size)
    : attention_(attention),
      sequences_(std::move(sequences)),
      edge_(random.edge()) {
  const CacheShape& cache = attention_.cache;
  for (const SequenceRows& sequence : sequences_) {
    n_rows_ += sequence.rows;
    n_blocks_ += ceil_div(sequence.past + sequence.rows, cache.block_tokens);
  }
  n_blocks_ += random.integer(0, 3);
  free_ = random.permutation(n_blocks_);
  const int slots = n_blocks_ * cache.block_tokens;
  keys_ = std::make_unique<Planes>("keys", cache, slots, edge_);
  values_ = std::make_unique<Planes>("values", cache, slots, edge_);
  for (const SequenceRows& sequence : sequences_) {
    place_sequence(random, sequence);
  }
  // Queries lie in rows that have more in them.
  const int row = row_size();
  attention_.query_stride = row + 4 * random.integer(0, 5);
  const size_t n = size_t(n_rows_ - 1) * attention_.query_stride + row;
  queries_ = std::make_unique<Elements>("queries", cache.element, n, edge_);
  for (int r = 0; r < n_rows_; r++) {
    for (int i = 0; i < row; i++) {
      queries_->set(
          size_t(r) * attention_.query_stride + i, random.real(-size, size));
    }
  }
  sinks_ = std::make_unique<Elements>(
      "sinks", cache.element, attention_.n_heads, edge_);
  for (int i = 0; i < attention_.n_heads; i++) {
    sinks_->set(i, random.real(-3, 3));
  }
  out_ = std::make_unique<Elements>(
      "out", cache.element, size_t(n_rows_) * row, edge_);
}

/// Blocks for what a sequence's rows see, tokens in those; what is before is
/// gone, its blocks, too.
void AttentionCase::place_sequence(
    Random& random,
    const SequenceRows& sequence) {
  const int block_tokens = attention_.cache.block_tokens;
  const int length = sequence.past + sequence.rows;
  const int first = attention_.window > 0
      ? std::max(0, sequence.past + 1 - attention_.window)
      : 0;
  std::vector<stomp::BlockId> blocks(ceil_div(length, block_tokens), -1);
  for (int i = first / block_tokens; i < static_cast<int>(blocks.size()); i++) {
    blocks[i] = free_.back();
    free_.pop_back();
  }
  for (int p = first; p < length; p++) {
    const int slot = blocks[p / block_tokens] * block_tokens + p % block_tokens;
    keys_->fill(slot, random, 1);
    values_->fill(slot, random, 1);
  }
  tables_.push_back({{blocks}, length});
}

StepPlan AttentionCase::plan() const {
  stomp::ModelCacheSpec spec;
  spec.n_layers = 1;
  spec.n_kv_heads = attention_.cache.kv_heads;
  spec.key_dim = spec.value_dim = attention_.cache.head_dim;
  spec.block_tokens = attention_.cache.block_tokens;
  spec.groups = {
      {attention_.window > 0 ? stomp::AttentionKind::kSliding
                             : stomp::AttentionKind::kGlobal,
       attention_.window,
       {0}}};
  const std::vector<int32_t> tokens(n_rows_);
  stomp::Step step;
  for (size_t i = 0; i < sequences_.size(); i++) {
    stomp::Slice slice;
    slice.tokens = std::span(tokens).first(sequences_[i].rows);
    slice.position = sequences_[i].past;
    slice.table = &tables_[i];
    step.slices.push_back(slice);
  }
  return stomp::mlx_exec::plan_step(step, spec, {n_blocks_}, 1, n_rows_);
}

Buffers AttentionCase::buffers() {
  Buffers all{
      {"queries", &queries_->memory()},
      {"keys", &keys_->elements()},
      {"values", &values_->elements()},
      {"out", &out_->memory()}};
  if (attention_.sinks) {
    all["sinks"] = &sinks_->memory();
  }
  if (attention_.cache.bits < 16) {
    all["key_scales"] = &keys_->scales();
    all["key_biases"] = &keys_->biases();
    all["value_scales"] = &values_->scales();
    all["value_biases"] = &values_->biases();
  }
  return all;
}

void AttentionCase::run_decode(
    const metal::AttendTables& tables,
    const Way& way) {
  const metal::DecodePlan plan =
      metal::plan_decode(attention_, tables.rows, way.split_tokens);
  const auto rows = guarded("rows", tables.rows, edge_);
  const auto block_ids = guarded("block ids", tables.block_ids, edge_);
  Guarded partial_out("partial_out", plan.partial_out_bytes, edge_);
  Guarded partial_sum("partial_sum", plan.partial_sum_bytes, edge_);
  Buffers all = buffers();
  all["rows"] = rows.get();
  all["block_ids"] = block_ids.get();
  all["partial_out"] = &partial_out;
  all["partial_sum"] = &partial_sum;
  run_launch(plan.decode, plan.params, all, way.order);
  run_launch(plan.combine, plan.params, all, way.order);
}

void AttentionCase::run_prefill(
    const metal::AttendTables& tables,
    const Way& way) {
  const auto plan =
      metal::plan_prefill(attention_, static_cast<int>(tables.tiles.size()));
  const auto spans = guarded("spans", tables.spans, edge_);
  const auto tiles = guarded("tiles", tables.tiles, edge_);
  const auto block_ids = guarded("block ids", tables.block_ids, edge_);
  Buffers all = buffers();
  all["spans"] = spans.get();
  all["tiles"] = tiles.get();
  all["block_ids"] = block_ids.get();
  run_launch(plan.launch, plan.params, all, way.order);
}

std::vector<double> AttentionCase::run(const Way& way, int only) {
  StepPlan step = plan();
  if (only >= 0) {
    step.spans = {step.spans[only]};
  }
  const metal::AttendTables tables = metal::attend_tables(
      step.spans, 0, attention_.ratio(), way.most_decode_rows);
  out_->memory().poison();
  if (tables.any_decode()) {
    run_decode(tables, way);
  }
  if (tables.any_prefill()) {
    run_prefill(tables, way);
  }
  std::vector<double> result(size_t(n_rows_) * row_size());
  for (size_t i = 0; i < result.size(); i++) {
    result[i] = out_->get(i);
  }
  return result;
}

void AttentionCase::check_row(
    const std::vector<double>& result,
    size_t sequence,
    int row,
    int head) const {
  const int dim = attention_.cache.head_dim;
  const int block_tokens = attention_.cache.block_tokens;
  const int kv_head = head / attention_.ratio();
  int query = row;
  for (size_t i = 0; i < sequence; i++) {
    query += sequences_[i].rows;
  }
  const int end = sequences_[sequence].past + row + 1;
  const int first =
      attention_.window > 0 ? std::max(0, end - attention_.window) : 0;
  const std::vector<stomp::BlockId>& blocks = tables_[sequence].blocks[0];
  const auto slot = [&](int p) {
    return blocks[p / block_tokens] * block_tokens + p % block_tokens;
  };
  std::vector<double> scores;
  double top = attention_.sinks ? sinks_->get(head)
                                : -std::numeric_limits<double>::infinity();
  for (int p = first; p < end; p++) {
    double score = 0;
    for (int d = 0; d < dim; d++) {
      score += queries_->get(
                   size_t(query) * attention_.query_stride + head * dim + d) *
          keys_->value(slot(p), kv_head, d);
    }
    scores.push_back(score * attention_.scale);
    top = std::max(top, scores.back());
  }
  double total = attention_.sinks ? std::exp(sinks_->get(head) - top) : 0;
  for (double& score : scores) {
    score = std::exp(score - top);
    total += score;
  }
  for (int d = 0; d < dim; d++) {
    double expected = 0;
    for (int p = first; p < end; p++) {
      expected +=
          scores[p - first] / total * values_->value(slot(p), kv_head, d);
    }
    const double actual =
        result[(size_t(query) * attention_.n_heads + head) * dim + d];
    const double allowed =
        1.01 * rounding_of(attention_.cache.element) * std::abs(expected) +
        2e-5;
    if (!(std::abs(actual - expected) <= allowed)) {
      std::ostringstream s;
      s << "sequence " << sequence << ", row " << row << ", head " << head
        << ", element " << d << ": " << actual << " against " << expected;
      throw check::Failure(s.str());
    }
  }
}

void AttentionCase::check(const std::vector<double>& result) const {
  for (size_t sequence = 0; sequence < sequences_.size(); sequence++) {
    for (int row = 0; row < sequences_[sequence].rows; row++) {
      for (int head = 0; head < attention_.n_heads; head++) {
        check_row(result, sequence, row, head);
      }
    }
  }
}

AttentionCase random_case(Random& random) {
  Attention attention;
  attention.cache = random_shape(random);
  attention.n_heads = attention.cache.kv_heads * random.integer(1, 8);
  attention.sinks = random.chance(3);
  attention.window = random.chance(3) ? random.integer(1, 150) : 0;
  attention.scale = 1 / std::sqrt(static_cast<float>(attention.cache.head_dim));
  std::vector<SequenceRows> sequences(random.integer(1, 4));
  for (SequenceRows& sequence : sequences) {
    sequence.past = random.integer(0, 3 * attention.cache.block_tokens);
    sequence.past = std::min(sequence.past, 300);
    sequence.rows =
        random.chance(3) ? random.integer(5, 40) : random.integer(1, 4);
  }
  return AttentionCase(
      random, attention, std::move(sequences), random.real(0.5f, 6));
}

} // namespace paged_rig
