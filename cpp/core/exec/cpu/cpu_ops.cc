#include "exec/cpu/cpu_ops.h"

#include <algorithm>
#include <cassert>

namespace stomp::cpu {

static_assert(DecoderOps<CpuOps>);

namespace {

// Elements of a row-wise operation below which the caller does it alone.
constexpr int64_t kFewElements = 2048;

// Logits kept from step to step: scoring a long prompt takes more, for once.
constexpr size_t kKeptLogitsRows = 64;

/// `buffer` holds at least `bytes`, and not far more than `kept`.
void fit(PageBuffer& buffer, size_t bytes, size_t kept) {
  if (buffer.size() < bytes || buffer.size() > std::max(bytes, kept)) {
    buffer = PageBuffer();
    buffer = PageBuffer(bytes);
  }
}

} // namespace

CpuOps::CpuOps(
    const ModelConfig& config,
    const Kernels& kernels,
    ThreadPool& threads,
    int max_rows)
    : config_(config),
      kernels_(kernels),
      threads_(threads),
      attention_(config, kernels, threads),
      max_rows_(max_rows) {}

// ---- load ----

CpuOps::Linear CpuOps::load_linear(
    const std::vector<const WeightMatrix*>& parts) {
  Linear linear(parts, kernels_, threads_);
  any_quantised_ = any_quantised_ || linear.any_quantised();
  widest_input_ = std::max(widest_input_, linear.cols());
  // One behind: the last to be loaded is the head, whose output has a place
  // of its own.
  widest_output_ = std::max(widest_output_, last_output_);
  last_output_ = linear.columns();
  weights_bytes_ += linear.bytes();
  return linear;
}

CpuOps::Norm CpuOps::load_norm(const WeightVector& weights) {
  weights_bytes_ += weights.size() * sizeof(float);
  return weights;
}

CpuOps::Embedding CpuOps::load_embedding(const WeightMatrix& matrix) {
  return matrix;
}

void CpuOps::make_scratch() {
  if (hidden_.data()) {
    return;
  }
  const size_t rows = max_rows_;
  hidden_ = PageBuffer(rows * config_.d_model * sizeof(float));
  input_ = PageBuffer(rows * widest_input_ * sizeof(float));
  output_ = PageBuffer(rows * widest_output_ * sizeof(float));
  linear_scratch_ = PageBuffer(threads_.size() * kernels_.linear_scratch_bytes);
  if (any_quantised_) {
    const size_t groups = rows * widest_input_ / kGroup;
    codes_ = PageBuffer(rows * widest_input_ * kernels_.code_bytes);
    scales_ = PageBuffer(groups * sizeof(float));
    sums_ = PageBuffer(groups * sizeof(float));
  }
}

size_t CpuOps::scratch_bytes() const {
  size_t n = attention_.scratch_bytes();
  for (const PageBuffer* buffer :
       {&hidden_,
        &input_,
        &codes_,
        &scales_,
        &sums_,
        &output_,
        &linear_scratch_}) {
    n += buffer->size();
  }
  return n;
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

/// Calls f(row) for rows [0, n), on all threads when that pays.
template <class F>
void CpuOps::each_row(int n, int cols, F f) {
  const int64_t elements = int64_t{n} * cols;
  if (elements < kFewElements) {
    for (int row = 0; row < n; row++) {
      f(row);
    }
    return;
  }
  const int stride = std::max(1, n / (threads_.size() * 8));
  threads_.run((n + stride - 1) / stride, [&](int i, int) noexcept {
    for (int row = i * stride; row < std::min((i + 1) * stride, n); row++) {
      f(row);
    }
  });
}

CpuOps::Input CpuOps::input_of(int n, int cols) const {
  Input in;
  in.n = n;
  in.rows.rows = input_.as<float>();
  in.rows.quantised = {
      const_cast<std::byte*>(codes_.data()),
      const_cast<float*>(scales_.as<float>()),
      const_cast<float*>(sums_.as<float>()),
      cols};
  return in;
}

void CpuOps::quantise(const Input& in, int row) const {
  if (any_quantised_ && in.rows.quantised.cols % kGroup == 0) {
    kernels_.quantise_row(
        in.rows.rows + static_cast<size_t>(row) * in.rows.quantised.cols,
        in.rows.quantised.from(row, kernels_.code_bytes));
  }
}

CpuOps::Hidden CpuOps::embed(const Embedding& table) {
  Hidden x;
  x.rows = hidden_.as<float>();
  x.n = step_->n();
  const size_t cols = config_.d_model;
  each_row(x.n, table.cols, [&](int row) {
    dequantise_row(table, step_->tokens[row], x.rows + row * cols);
  });
  return x;
}

void CpuOps::add(Hidden& x, const Output& y) {
  // Done by whoever reads x next, together with what it does to the row.
  x.pending = y.rows;
  x.pending_stride = y.stride;
}

void CpuOps::add_pending(const Hidden& x, int row) const {
  if (x.pending) {
    kernels_.add(
        x.rows + static_cast<size_t>(row) * config_.d_model,
        x.pending + row * x.pending_stride,
        config_.d_model);
  }
}

CpuOps::Input CpuOps::rms_norm(Hidden& x, const Norm& norm) {
  const int cols = config_.d_model;
  const Input in = input_of(x.n, cols);
  float* to = input_.as<float>();
  each_row(x.n, cols, [&](int row) {
    const size_t at = static_cast<size_t>(row) * cols;
    add_pending(x, row);
    kernels_.rms_norm(x.rows + at, norm.data(), cols, config_.rms_eps, to + at);
    quantise(in, row);
  });
  x.pending = nullptr;
  return in;
}

CpuOps::Input CpuOps::final_norm(Hidden& x, const Norm& norm) {
  const int cols = config_.d_model;
  const Input in = input_of(step_->n_wanted(), cols);
  float* to = input_.as<float>();
  each_row(in.n, cols, [&](int i) {
    const int row = step_->wanted[i];
    add_pending(x, row);
    kernels_.rms_norm(
        x.rows + static_cast<size_t>(row) * cols,
        norm.data(),
        cols,
        config_.rms_eps,
        to + static_cast<size_t>(i) * cols);
    quantise(in, i);
  });
  x.pending = nullptr;
  return in;
}

CpuOps::Output CpuOps::linear(const Input& in, const Linear& w) {
  const Output y{
      output_.as<float>(), in.n, static_cast<size_t>(w.columns()), &w};
  w.multiply(in.rows, in.n, y.rows, kernels_, threads_, linear_scratch_.data());
  return y;
}

CpuOps::Input CpuOps::attend(Output& y, int layer) {
  const int cols = config_.q_dim();
  const Input in = input_of(y.n, cols);
  const QkvRows qkv{
      y.rows,
      y.stride,
      y.of->part(1).first_column(),
      y.of->part(2).first_column()};
  attention_.run(qkv, layer, input_.as<float>());
  each_row(y.n, cols, [&](int row) { quantise(in, row); });
  return in;
}

CpuOps::Input CpuOps::glu(Output& y) {
  const int cols = config_.d_ff;
  const Input in = input_of(y.n, cols);
  const int up = y.of->part(1).first_column();
  float* to = input_.as<float>();
  each_row(y.n, cols, [&](int row) {
    const float* gate = y.rows + row * y.stride;
    kernels_.silu_mul(
        gate, gate + up, cols, to + static_cast<size_t>(row) * cols);
    quantise(in, row);
  });
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
  w.multiply(
      in.rows,
      in.n,
      out.rows.as<float>(),
      kernels_,
      threads_,
      linear_scratch_.data());
  each_row(in.n, config_.vocab_size, [&](int i) {
    out.best[i] = kernels_.arg_max(out.row(i), config_.vocab_size);
  });
}

} // namespace stomp::cpu
