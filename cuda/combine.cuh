// The partial results of a row's splits, put together; see decode.cuh.
#pragma once

#include "paged_kernel.cuh"

namespace paged {

/// Scores are exponents of 2 here, too.
struct Totals {
  float top;
  float total;
};

template <typename S>
__device__ inline Totals totals_of(
    const float* sums, // (splits, 2)
    int splits,
    float sink,
    int lane) {
  float top = S::has_sinks ? sink : kLowest;
  for (int s = lane; s < splits; s += kLanes) {
    top = fmaxf(top, sums[s * 2]);
  }
  top = lane_max(top, 1, kLanes / 2);
  float total = 0.0f;
  for (int s = lane; s < splits; s += kLanes) {
    total += sums[s * 2 + 1] * exp2f(sums[s * 2] - top);
  }
  total = lane_sum(total, 1, kLanes / 2);
  return {top, S::has_sinks ? total + exp2f(sink - top) : total};
}

/// Four elements of a row's result.
template <typename T>
__device__ inline void write_four(
    Vector<T, 4>& to,
    const float* outs, // (splits, head_dim), from the first of the four on
    const float* sums, // (splits, 2)
    int splits,
    int head_dim,
    const Totals& totals) {
  float sum[4] = {};
  for (int s = 0; s < splits; s++) {
    const float weight = exp2f(sums[s * 2] - totals.top);
    const auto& out =
        *reinterpret_cast<const Vector<float, 4>*>(outs + s * head_dim);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      sum[i] += out.at[i] * weight;
    }
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    // A row that sees nothing is 0.
    round_to(to.at[i], totals.total > 0.0f ? sum[i] / totals.total : 0.0f);
  }
}

/// A warp, which is a block, takes a query head (x) of a row (y).
template <typename T, typename S>
__device__ inline void combine(
    const float* partial_out, // (rows, n_heads, splits, head_dim)
    const float* partial_sum, // (rows, n_heads, splits, 2)
    const DecodeRow* rows,
    const T* sinks, // (n_heads)
    T* out,         // (N, n_heads, head_dim)
    const AttendParams& params,
    const Place& place) {
  const DecodeRow row = rows[place.y];
  const int splits =
      (row.end - row.first + params.split_tokens - 1) / params.split_tokens;
  const size_t first =
      (size_t(place.y) * params.n_heads + place.x) * params.splits;
  const float* sums = partial_sum + first * 2;
  const float sink = S::has_sinks ? number(sinks[place.x]) * kLog2e : 0.0f;
  const Totals totals = totals_of<S>(sums, splits, sink, place.lane());
  T* to = out + (size_t(row.query) * params.n_heads + place.x) * S::head_dim;
  for (int i = place.lane() * 4; i < S::head_dim; i += kLanes * 4) {
    write_four(
        *reinterpret_cast<Vector<T, 4>*>(to + i),
        partial_out + first * S::head_dim + i,
        sums,
        splits,
        S::head_dim,
        totals);
  }
}

} // namespace paged
