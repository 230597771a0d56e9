#include "exec/cpu/experts.h"

#include <algorithm>

#include "exec/cpu/row_loop.h"

namespace stomp::cpu {

namespace {

/// y += the biases from column `first` on, if there are any.
void add_bias(const PackedMatrix& w, int first, int n, float* y) {
  if (w.bias().empty()) {
    return;
  }
  const float* bias = w.bias().data() + first;
  for (int c = 0; c < n; c++) {
    y[c] += bias[c];
  }
}

} // namespace

ExpertRunner::ExpertRunner(
    const ModelConfig& config,
    const Kernels& kernels,
    ThreadPool& threads,
    LinearRunner& linears)
    : config_(config),
      kernels_(kernels),
      threads_(threads),
      linears_(linears) {}

void ExpertRunner::reserve(
    int max_rows,
    const RowForms& forms,
    PageArena& arena) {
  const MoeConfig& moe = config_.moe;
  if (moe.n_experts == 0) {
    return;
  }
  routing_.reserve(moe, max_rows);
  input_.reserve(max_rows, config_.d_model, forms, arena);
  gated_.reserve(max_rows, moe.d_ff, forms, arena);
  // Whole tiles of rows are written.
  const size_t rows = round_up(max_rows, kTileRows) + kTileRows;
  const size_t gate_up = 2 * round_up<size_t>(moe.d_ff, kBlockColumns);
  const size_t down = round_up<size_t>(config_.d_model, kBlockColumns);
  output_ = arena.take_array<float>(rows * std::max(gate_up, down));
}

void ExpertRunner::add(
    const LinearRows& rows,
    const LinearOutput& scores,
    const PackedExperts& experts,
    const LinearOutput& x) {
  const MoeConfig& moe = config_.moe;
  routing_.assign(moe, scores.y, scores.stride, rows.n);
  for (int e = 0; e < moe.n_experts; e++) {
    const Shares shares = routing_.of(e);
    if (!shares.empty()) {
      const LinearRows own = gather(rows, shares);
      down(gate(own, experts.gate_up[e]), experts.down[e], shares, x);
    }
  }
}

LinearRows ExpertRunner::gather(const LinearRows& rows, Shares shares) {
  const auto n_codes = std::count_if(
      shares.begin(), shares.end(), [&](const Routing::Share& share) {
        return share.row < rows.n_codes;
      });
  const LinearRows own = input_.rows(
      static_cast<int>(shares.size()), static_cast<int>(n_codes), rows.cols);
  each_row(threads_, own.n, own.cols, [&](int i, int) {
    copy_row(rows, shares[i].row, own, i);
  });
  return own;
}

LinearRows ExpertRunner::gate(
    const LinearRows& rows,
    const PackedMatrix& gate_up) {
  const int d_ff = config_.moe.d_ff;
  const size_t stride = gate_up.columns();
  linears_.multiply(rows, gate_up, {output_, stride});
  const LinearRows gated = gated_.rows(rows.n, rows.n_codes, d_ff);
  const int second = gate_up.part(1).first_column();
  each_row(threads_, rows.n, d_ff, [&](int row, int) {
    float* const gate = output_ + row * stride;
    float* const up = gate + second;
    add_bias(gate_up, 0, d_ff, gate);
    add_bias(gate_up, second, d_ff, up);
    kernels_.activate(config_.activation, gate, up, d_ff, gate);
    linears_.put(gate, gated, row, 0, d_ff);
  });
  return gated;
}

void ExpertRunner::down(
    const LinearRows& gated,
    const PackedMatrix& down,
    Shares shares,
    const LinearOutput& x) {
  const int cols = config_.d_model;
  const size_t stride = down.columns();
  linears_.multiply(gated, down, {output_, stride});
  each_row(threads_, gated.n, cols, [&](int row, int) {
    float* const y = output_ + row * stride;
    add_bias(down, 0, cols, y);
    float* const to = x.row(shares[row].row);
    for (int c = 0; c < cols; c++) {
      to[c] += shares[row].weight * y[c];
    }
  });
}

} // namespace stomp::cpu
