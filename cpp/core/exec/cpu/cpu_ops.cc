#include "exec/cpu/cpu_ops.h"

#include <algorithm>
#include <cassert>

#include "exec/cpu/row_loop.h"

namespace stomp::cpu {

static_assert(DecoderOps<CpuOps>);

namespace {

// Logits kept from step to step: scoring a long prompt takes more, for once.
constexpr size_t kKeptLogitsRows = 64;

/// `buffer` holds at least `bytes`, and not far more than `kept`.
void fit(PageBuffer& buffer, size_t bytes, size_t kept) {
  if (buffer.size() < bytes || buffer.size() > std::max(bytes, kept)) {
    buffer = PageBuffer();
    buffer = PageBuffer(bytes, true);
  }
}

} // namespace

CpuOps::CpuOps(
    const ModelConfig& config,
    const Kernels& kernels,
    ThreadPool& threads,
    int max_rows,
    bool tiles)
    : config_(config),
      kernels_(kernels),
      threads_(threads),
      max_rows_(max_rows),
      tiles_(tiles),
      attention_(config, kernels, threads, tiles),
      runner_(kernels, threads),
      experts_(config, kernels, threads, runner_) {}

// ---- load ----

CpuOps::Linear CpuOps::pack(const std::vector<const WeightMatrix*>& parts) {
  Linear linear(parts, threads_, weights_);
  any_quantised_ = any_quantised_ || linear.any_quantised();
  any_dense_ = any_dense_ || linear.any_dense();
  weights_bytes_ += linear.bytes();
  return linear;
}

CpuOps::Linear CpuOps::load_linear(
    const std::vector<const WeightMatrix*>& parts) {
  Linear linear = pack(parts);
  // One behind: the last to be loaded is the head, whose output has a place
  // of its own.
  widest_output_ = std::max(widest_output_, last_output_);
  last_output_ = linear.columns();
  return linear;
}

CpuOps::Norm CpuOps::load_norm(const WeightVector& weights) {
  weights_bytes_ += weights.size() * sizeof(float);
  return weights;
}

CpuOps::HeadWeights CpuOps::load_heads(
    const WeightVector& q_norm,
    const WeightVector& k_norm,
    const WeightVector& sinks) {
  return {load_norm(q_norm), load_norm(k_norm), load_norm(sinks)};
}

CpuOps::Embedding CpuOps::load_embedding(const WeightMatrix& matrix) {
  return matrix;
}

CpuOps::Experts CpuOps::load_experts(const ExpertWeights& weights) {
  Experts experts;
  experts.router = load_linear({&weights.router});
  for (size_t e = 0; e < weights.gate.size(); e++) {
    experts.gate_up.push_back(pack({&weights.gate[e], &weights.up[e]}));
    experts.down.push_back(pack({&weights.down[e]}));
  }
  return experts;
}

void CpuOps::make_scratch() {
  if (hidden_) {
    return;
  }
  // Whole tiles of rows are written.
  const size_t rows = round_up(max_rows_, kTileRows) + kTileRows;
  const size_t hidden = round_up(config_.d_model, kBlockColumns);
  hidden_ = scratch_.take_array<float>(rows * hidden);
  output_ = scratch_.take_array<float>(rows * widest_output_);
  attended_ = scratch_.take_array<float>(rows * config_.q_dim());
  normed_ = scratch_.take_array<float>(threads_.size() * hidden);
  const int widest = std::max(config_.d_model, config_.q_dim());
  const RowForms forms{any_quantised_, any_dense_, tiles_};
  input_.reserve(max_rows_, widest, forms, scratch_);
  gated_.reserve(max_rows_, config_.d_ff, forms, scratch_);
  runner_.reserve(max_rows_, scratch_);
  experts_.reserve(max_rows_, forms, scratch_);
}

size_t CpuOps::scratch_bytes() const {
  return attention_.scratch_bytes() + scratch_.taken();
}

// ---- step ----

void CpuOps::begin(const StepRows& step, StepLogits& logits) {
  assert(step.n() <= max_rows_);
  make_scratch();
  step_ = &step;
  logits_ = &logits;
  logits.best.clear();
  attention_.begin(step);
}

template <class F>
void CpuOps::each_row(int n, int cols, F f) {
  cpu::each_row(threads_, n, cols, f);
}

float* CpuOps::floats_of(const Input& in, int row, int worker) {
  return any_dense_ && row < in.n_codes
      ? const_cast<float*>(in.floats) + static_cast<size_t>(row) * in.cols
      : normed_ +
          static_cast<size_t>(worker) *
              round_up(config_.d_model, kBlockColumns);
}

CpuOps::Hidden CpuOps::embed(const Embedding& table) {
  const Hidden x{
      hidden_, step_->n(), round_up<size_t>(config_.d_model, kBlockColumns)};
  each_row(x.n, table.cols, [&](int row, int) {
    float* const to = x.row(row);
    dequantise_row(table, step_->tokens[row], to);
    if (config_.embedding_scale != 1) {
      for (int c = 0; c < table.cols; c++) {
        to[c] *= config_.embedding_scale;
      }
    }
  });
  return x;
}

CpuOps::Input CpuOps::rms_norm(Hidden& x, const Norm& norm) {
  const int cols = config_.d_model;
  const Input in = input_.rows(x.n, n_codes(), cols);
  each_row(x.n, cols, [&](int row, int worker) {
    float* to = floats_of(in, row, worker);
    kernels_.rms_norm(x.row(row), norm.data(), cols, config_.rms_eps, to);
    runner_.put(to, in, row, 0, cols);
  });
  return in;
}

CpuOps::Input CpuOps::final_norm(Hidden& x, const Norm& norm) {
  const int cols = config_.d_model;
  // As codes whatever their role: there are few, and the head is large.
  const Input in = input_.rows(step_->n_wanted(), step_->n_wanted(), cols);
  each_row(in.n, cols, [&](int i, int worker) {
    float* to = floats_of(in, i, worker);
    const float* from = x.row(step_->wanted[i]);
    kernels_.rms_norm(from, norm.data(), cols, config_.rms_eps, to);
    runner_.put(to, in, i, 0, cols);
  });
  return in;
}

CpuOps::Output CpuOps::linear(const Input& in, const Linear& w) {
  const Output y{output_, in.n, static_cast<size_t>(w.columns()), &w};
  runner_.multiply(in, w, {y.rows, y.stride});
  add_bias(y.rows, y.stride, y.n, w);
  return y;
}

void CpuOps::add_linear(
    Hidden& x,
    const Input& in,
    const Linear& w,
    const Norm& norm) {
  if (norm.empty()) {
    runner_.multiply(in, w, {x.rows, x.stride, true});
    add_bias(x.rows, x.stride, in.n, w);
    return;
  }
  const Output y = linear(in, w);
  const int cols = config_.d_model;
  each_row(y.n, cols, [&](int row, int) {
    float* const from = y.rows + row * y.stride;
    kernels_.rms_norm(from, norm.data(), cols, config_.rms_eps, from);
    float* const to = x.row(row);
    for (int c = 0; c < cols; c++) {
      to[c] += from[c];
    }
  });
}

void CpuOps::add_bias(float* rows, size_t stride, int n, const Linear& w) {
  const std::vector<float>& bias = w.bias();
  if (bias.empty()) {
    return;
  }
  const int cols = static_cast<int>(bias.size());
  each_row(n, cols, [&](int row, int) {
    float* const y = rows + row * stride;
    for (int c = 0; c < cols; c++) {
      y[c] += bias[c];
    }
  });
}

CpuOps::Input CpuOps::gated_linear(const Input& in, const Linear& w) {
  const Input out = gated_.rows(in.n, in.n_codes, config_.d_ff);
  runner_.gate(config_.activation, in, w, out);
  return out;
}

void CpuOps::add_experts(Hidden& x, const Input& in, const Experts& w) {
  const Output scores = linear(in, w.router);
  experts_.add(in, {scores.rows, scores.stride}, w, {x.rows, x.stride});
}

void CpuOps::norm_heads(const QkvRows& qkv, int n, const HeadWeights& heads) {
  if (heads.q_norm.empty()) {
    return;
  }
  const int dim = config_.head_dim;
  const auto norm = [&](float* heads, int n_heads, const WeightVector& w) {
    for (int h = 0; h < n_heads; h++) {
      float* const x = heads + h * dim;
      kernels_.rms_norm(x, w.data(), dim, config_.rms_eps, x);
    }
  };
  each_row(n, config_.q_dim() + config_.kv_dim(), [&](int row, int) {
    norm(qkv.row(row), config_.n_heads, heads.q_norm);
    norm(qkv.row(row) + qkv.k, config_.n_kv_heads, heads.k_norm);
  });
}

CpuOps::Input CpuOps::attend(Output& y, const HeadWeights& heads, int layer) {
  const int cols = config_.q_dim();
  const Input in = input_.rows(y.n, n_codes(), cols);
  const QkvRows qkv{
      y.rows,
      y.stride,
      y.of->part(1).first_column(),
      y.of->part(2).first_column()};
  norm_heads(qkv, y.n, heads);
  attention_.run(qkv, layer, heads.sinks, attended_, runner_, in);
  return in;
}

void CpuOps::logits(const Input& in, const Linear& w) {
  if (in.n == 0) {
    return;
  }
  StepLogits& out = *logits_;
  out.stride = w.columns();
  const size_t row_bytes = out.stride * sizeof(float);
  fit(out.rows, in.n * row_bytes, kKeptLogitsRows * row_bytes);
  out.best.resize(in.n);
  runner_.multiply(in, w, {out.rows.as<float>(), out.stride});
  each_row(in.n, config_.vocab_size, [&](int i, int) {
    out.best[i] = kernels_.arg_max(out.row(i), config_.vocab_size);
  });
}

} // namespace stomp::cpu
