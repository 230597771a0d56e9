// See attention_case.h.
#include "attention_case.h"

#include <cmath>
#include <numeric>
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
  place_queries(random, size);
  attend();
}

void AttentionCase::place_queries(Random& random, float size) {
  const CacheShape& cache = attention_.cache;
  // They lie in rows that have more in them.
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

/// The first position that one at `position` sees.
int AttentionCase::first_seen(int position) const {
  return attention_.window > 0 ? std::max(0, position + 1 - attention_.window)
                               : 0;
}

/// Blocks for what a sequence's rows see, tokens in those; what is before is
/// gone, its blocks, too.
void AttentionCase::place_sequence(
    Random& random,
    const SequenceRows& sequence) {
  const int block_tokens = attention_.cache.block_tokens;
  const int length = sequence.past + sequence.rows;
  const int first = first_seen(sequence.past);
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

/// Positions [first, ...) of a sequence as numbers, (kv_heads, n, dim) each.
struct AttentionCase::Tokens {
  int first = 0;
  int n = 0;
  std::vector<double> keys, values;

  const double* head_of(const std::vector<double>& of, int head, int dim)
      const {
    return of.data() + size_t(head) * n * dim;
  }
};

AttentionCase::Tokens AttentionCase::tokens_of(size_t sequence) const {
  const CacheShape& cache = attention_.cache;
  const std::vector<stomp::BlockId>& blocks = tables_[sequence].blocks[0];
  Tokens tokens;
  tokens.first = first_seen(sequences_[sequence].past);
  tokens.n = tables_[sequence].n_tokens - tokens.first;
  for (int head = 0; head < cache.kv_heads; head++) {
    for (int i = 0; i < tokens.n; i++) {
      const int p = tokens.first + i;
      const int slot = blocks[p / cache.block_tokens] * cache.block_tokens +
          p % cache.block_tokens;
      for (int d = 0; d < cache.head_dim; d++) {
        tokens.keys.push_back(keys_->value(slot, head, d));
        tokens.values.push_back(values_->value(slot, head, d));
      }
    }
  }
  return tokens;
}

/// The weights of the tokens [begin, end) of `tokens`, which sum up to 1 or,
/// with a sink, to less.
std::vector<double> AttentionCase::weights_of(
    const Tokens& tokens,
    int query,
    int head,
    int begin,
    int end) const {
  const int dim = attention_.cache.head_dim;
  const double* keys =
      tokens.head_of(tokens.keys, head / attention_.ratio(), dim);
  std::vector<double> q(dim);
  for (int d = 0; d < dim; d++) {
    q[d] =
        queries_->get(size_t(query) * attention_.query_stride + head * dim + d);
  }
  std::vector<double> weights;
  for (int i = begin; i < end; i++) {
    weights.push_back(
        attention_.scale *
        std::inner_product(q.begin(), q.end(), keys + size_t(i) * dim, 0.0));
  }
  std::vector<double> all = weights;
  if (attention_.sinks) {
    all.push_back(sinks_->get(head));
  }
  const double top = *std::max_element(all.begin(), all.end());
  double total = 0;
  for (double score : all) {
    total += std::exp(score - top);
  }
  for (double& weight : weights) {
    weight = std::exp(weight - top) / total;
  }
  return weights;
}

void AttentionCase::attend_row(const Tokens& tokens, int query, int position) {
  const int dim = attention_.cache.head_dim;
  const int begin = first_seen(position) - tokens.first;
  const int end = position + 1 - tokens.first;
  for (int head = 0; head < attention_.n_heads; head++) {
    const double* values =
        tokens.head_of(tokens.values, head / attention_.ratio(), dim);
    const std::vector<double> weights =
        weights_of(tokens, query, head, begin, end);
    double* out =
        expected_.data() + (size_t(query) * attention_.n_heads + head) * dim;
    for (int i = begin; i < end; i++) {
      for (int d = 0; d < dim; d++) {
        out[d] += weights[i - begin] * values[size_t(i) * dim + d];
      }
    }
  }
}

void AttentionCase::attend() {
  expected_.assign(size_t(n_rows_) * row_size(), 0);
  int query = 0;
  for (size_t i = 0; i < sequences_.size(); i++) {
    const Tokens tokens = tokens_of(i);
    for (int row = 0; row < sequences_[i].rows; row++) {
      attend_row(tokens, query, sequences_[i].past + row);
      query++;
    }
  }
}

void AttentionCase::check(const std::vector<double>& result) const {
  const double rounding = rounding_of(attention_.cache.element);
  for (size_t i = 0; i < expected_.size(); i++) {
    const double allowed = 1.01 * rounding * std::abs(expected_[i]) + 2e-5;
    if (!(std::abs(result[i] - expected_[i]) <= allowed)) {
      const size_t dim = attention_.cache.head_dim;
      std::ostringstream s;
      s << "row " << i / row_size() << ", head " << i / dim % attention_.n_heads
        << ", element " << i % dim << ": " << result[i] << " against "
        << expected_[i];
      throw check::Failure(s.str());
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
