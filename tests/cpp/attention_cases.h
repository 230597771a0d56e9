// K, V and queries for the tests of the attention kernels, and what attention
// over them comes to in double precision.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "base/half.h"
#include "kernel_checks.h"

namespace attention_cases {

using namespace kernel_checks;

/// Random K and V of one head, as (n, dim) and in tiles of f16.
struct Cache {
  Cache(int n_tokens, int head_dim, uint32_t seed)
      : n(n_tokens), dim(head_dim) {
    Random random(seed);
    k = random.vector(static_cast<size_t>(n) * dim, -2, 2);
    v = random.vector(static_cast<size_t>(n) * dim, -2, 2);
    const int tiles = (n + kTileTokens - 1) / kTileTokens;
    // What nobody wrote is not a number.
    k_tiles.assign(size_t(tiles) * kTileTokens * dim, 0x7e00);
    v_tiles = k_tiles;
    for (int t = 0; t < n; t++) {
      for (int d = 0; d < dim; d++) {
        set_k(t, d, k[at(t, d)]);
        set_v(t, d, v[at(t, d)]);
      }
    }
  }
  size_t at(int token, int d) const {
    return static_cast<size_t>(token) * dim + d;
  }
  void set_k(int token, int d, float x) {
    const uint16_t half = stomp::f32_to_f16(x);
    const size_t tile = static_cast<size_t>(token / kTileTokens) * dim;
    k_tiles[(tile + d) * kTileTokens + token % kTileTokens] = half;
    k[at(token, d)] = stomp::f16_to_f32(half);
  }
  void set_v(int token, int d, float x) {
    const uint16_t half = stomp::f32_to_f16(x);
    v_tiles[at(token, d)] = half;
    v[at(token, d)] = stomp::f16_to_f32(half);
  }
  AttentionPiece piece(int position) const {
    AttentionPiece p;
    p.position = position;
    p.n_tokens = std::min(kPieceTokens, n - position);
    p.head_dim = dim;
    for (int i = 0; i * kTileTokens < p.n_tokens; i++) {
      const size_t tile = size_t(position + i * kTileTokens) * dim;
      p.k[i] = k_tiles.data() + tile;
      p.v[i] = v_tiles.data() + tile;
    }
    return p;
  }

  int n;
  int dim;
  std::vector<float> k, v; // (n, dim), what the tiles hold
  std::vector<uint16_t> k_tiles, v_tiles;
};

/// Rows at given ranges, and where their running softmax is kept.
struct Queries {
  Queries(
      const Cache& cache,
      std::vector<int> f,
      std::vector<int> l,
      uint32_t seed)
      : first(std::move(f)), last(std::move(l)) {
    Random random(seed);
    const int n = static_cast<int>(first.size());
    values = random.vector(static_cast<size_t>(n) * cache.dim, -1, 1);
    for (int r = 0; r < n; r++) {
      q.push_back(values.data() + static_cast<size_t>(r) * cache.dim);
    }
  }
  Queries(const Queries&) = delete;

  int n() const { return static_cast<int>(q.size()); }

  struct State {
    std::vector<float> max, sum, out;
  };
  State start(int dim) const {
    const size_t n = first.size();
    return {
        std::vector<float>(n, -kInf),
        std::vector<float>(n),
        std::vector<float>(n * padded_head_dim(dim))};
  }
  AttentionRows rows(State& s) const { return rows(s, 0, n()); }
  /// Some of them, in a state of their own.
  AttentionRows rows(State& s, int from, int count) const {
    return {
        count,
        q.data() + from,
        first.data() + from,
        last.data() + from,
        s.max.data(),
        s.sum.data(),
        s.out.data()};
  }

  std::vector<int> first, last;
  std::vector<float> values;
  std::vector<const float*> q;
};

/// Attention of row r, element by element.
struct Attended {
  std::vector<double> out;  // (dim)
  std::vector<double> size; // the same of |V|
  double top = 0;           // largest score
  double total = 0;         // of weights relative to it
};

/// K and V as (n, dim), the query as the scores want it.
template <class T>
Attended attend(
    const Cache& cache,
    const std::vector<float>& k,
    const std::vector<float>& v,
    const T* q,
    int first,
    int last) {
  std::vector<double> weight(cache.n);
  double top = -kInf;
  for (int t = first; t <= last; t++) {
    for (int d = 0; d < cache.dim; d++) {
      weight[t] += static_cast<double>(q[d]) * k[cache.at(t, d)];
    }
    top = std::max(top, weight[t]);
  }
  double total = 0;
  for (int t = first; t <= last; t++) {
    weight[t] = std::exp(weight[t] - top);
    total += weight[t];
  }
  Attended y{
      std::vector<double>(cache.dim),
      std::vector<double>(cache.dim),
      top,
      total};
  for (int t = first; t <= last; t++) {
    for (int d = 0; d < cache.dim; d++) {
      y.out[d] += weight[t] / total * v[cache.at(t, d)];
      y.size[d] += weight[t] / total * std::fabs(v[cache.at(t, d)]);
    }
  }
  return y;
}

/// What the running softmax came to, checked against double precision.
inline std::vector<float> attended(
    const Cache& cache,
    const Queries& queries,
    const Queries::State& state) {
  std::vector<float> y;
  const size_t padded = padded_head_dim(cache.dim);
  for (int r = 0; r < queries.n(); r++) {
    const Attended want = attend(
        cache,
        cache.k,
        cache.v,
        queries.q[r],
        queries.first[r],
        queries.last[r]);
    for (int d = 0; d < cache.dim; d++) {
      y.push_back(state.out[r * padded + d] / state.sum[r]);
      check_close(y.back(), want.out[d], 1e-5, "attention");
    }
  }
  return y;
}

} // namespace attention_cases
