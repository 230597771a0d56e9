// The attention kernels of every table against double precision, and all
// tables against each other, to the bit.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/half.h"
#include "kernel_checks.h"

using namespace kernel_checks;

namespace {

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
        const size_t i = static_cast<size_t>(t) * dim + d;
        const size_t tile = static_cast<size_t>(t / kTileTokens) * dim;
        const uint16_t kh = stomp::f32_to_f16(k[i]);
        const uint16_t vh = stomp::f32_to_f16(v[i]);
        k_tiles[(tile + d) * kTileTokens + t % kTileTokens] = kh;
        v_tiles[i] = vh;
        k[i] = stomp::f16_to_f32(kh);
        v[i] = stomp::f16_to_f32(vh);
      }
    }
  }
  AttentionPiece piece(int position) const {
    AttentionPiece p;
    p.position = position;
    p.n_tokens = std::min(kPieceTokens, n - position);
    p.head_dim = dim;
    for (int i = 0; i * kTileTokens < p.n_tokens; i++) {
      const size_t at = size_t(position + i * kTileTokens) * dim;
      p.k[i] = k_tiles.data() + at;
      p.v[i] = v_tiles.data() + at;
    }
    return p;
  }

  int n;
  int dim;
  std::vector<float> k, v;
  std::vector<uint16_t> k_tiles, v_tiles;
};

/// Rows at given ranges, with their running softmax.
struct Queries {
  Queries(
      const Cache& cache,
      std::vector<int> f,
      std::vector<int> l,
      uint32_t s)
      : first(std::move(f)), last(std::move(l)) {
    Random random(s);
    const int n = static_cast<int>(first.size());
    values = random.vector(static_cast<size_t>(n) * cache.dim, -1, 1);
    for (int r = 0; r < n; r++) {
      q.push_back(values.data() + static_cast<size_t>(r) * cache.dim);
    }
  }

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
  AttentionRows rows(State& s) const {
    return {
        static_cast<int>(q.size()),
        q.data(),
        first.data(),
        last.data(),
        s.max.data(),
        s.sum.data(),
        s.out.data()};
  }

  std::vector<int> first, last;
  std::vector<float> values;
  std::vector<const float*> q;
};

void run_pieces(
    const Kernels& kernels,
    const Cache& cache,
    const AttentionRows& rows,
    int from,
    int to) {
  std::vector<float> scratch(piece_scratch_floats(cache.dim), kNan);
  for (int at = from; at < to; at += kPieceTokens) {
    kernels.attend_piece(cache.piece(at), rows, scratch.data());
  }
}

std::vector<float> attended(
    const Cache& cache,
    const Queries& queries,
    const Queries::State& state) {
  std::vector<float> y;
  const size_t padded = padded_head_dim(cache.dim);
  for (size_t r = 0; r < queries.q.size(); r++) {
    std::vector<double> weight(cache.n);
    double top = -kInf;
    for (int t = queries.first[r]; t <= queries.last[r]; t++) {
      for (int d = 0; d < cache.dim; d++) {
        weight[t] +=
            double{queries.q[r][d]} * cache.k[size_t(t) * cache.dim + d];
      }
      top = std::max(top, weight[t]);
    }
    double total = 0;
    for (int t = queries.first[r]; t <= queries.last[r]; t++) {
      weight[t] = std::exp(weight[t] - top);
      total += weight[t];
    }
    for (int d = 0; d < cache.dim; d++) {
      double want = 0;
      for (int t = queries.first[r]; t <= queries.last[r]; t++) {
        want += weight[t] / total * cache.v[size_t(t) * cache.dim + d];
      }
      y.push_back(state.out[r * padded + d] / state.sum[r]);
      check_close(y.back(), want, 1e-5, "attention");
    }
  }
  return y;
}

} // namespace

TEST("cpu kernels: attention of 1 to 9 rows, causal, in odd head sizes") {
  for (int dim : {2, 16, 34, 48, 64, 80, 128}) {
    const Cache cache(200, dim, dim);
    for (int n = 1; n <= 9; n++) {
      std::vector<int> first(n, 0);
      std::vector<int> last;
      for (int r = 0; r < n; r++) {
        last.push_back(199 - (n - 1 - r) * 9);
      }
      const Queries queries(cache, first, last, n);
      on_every_table([&](const Kernels& kernels) {
        auto state = queries.start(dim);
        run_pieces(kernels, cache, queries.rows(state), 0, 200);
        return attended(cache, queries, state);
      });
    }
  }
}

TEST("cpu kernels: a row's attention does not depend on its neighbours") {
  const Cache cache(130, 64, 5);
  const Queries queries(cache, {0, 30, 64, 0, 100}, {129, 90, 64, 3, 129}, 5);
  for (const Kernels* kernels : available_kernels()) {
    auto together = queries.start(64);
    run_pieces(*kernels, cache, queries.rows(together), 0, 130);
    attended(cache, queries, together);
    for (size_t r = 0; r < queries.q.size(); r++) {
      Queries one = queries;
      one.first = {queries.first[r]};
      one.last = {queries.last[r]};
      one.q = {queries.q[r]};
      auto alone = one.start(64);
      run_pieces(*kernels, cache, one.rows(alone), 0, one.last[0] + 1);
      CHECK_EQUAL(alone.max[0], together.max[r]);
      CHECK_EQUAL(alone.sum[0], together.sum[r]);
      CHECK(std::equal(
          alone.out.begin(), alone.out.end(), together.out.begin() + r * 64));
    }
  }
}

TEST("cpu kernels: merged spans equal one softmax; empty ones change nothing") {
  const Cache cache(400, 48, 6);
  const Queries queries(cache, {0, 0, 300}, {399, 100, 399}, 6);
  on_every_table([&](const Kernels& kernels) {
    auto all = queries.start(48);
    run_pieces(kernels, cache, queries.rows(all), 0, 256);
    const auto before = all;
    auto next = queries.start(48);
    run_pieces(kernels, cache, queries.rows(next), 256, 400);
    kernels.merge_rows(queries.rows(next), queries.rows(all), 48);
    CHECK_EQUAL(all.sum[1], before.sum[1]);
    CHECK_EQUAL(all.max[1], before.max[1]);
    return attended(cache, queries, all);
  });
}

TEST("cpu kernels: attention to what is not a number gives none") {
  for (float bad : {kNan, kInf}) {
    Cache cache(70, 16, 7);
    const Queries queries(cache, {0, 4}, {69, 69}, 7);
    // Position 3, with the sign that makes the score infinite upwards.
    cache.k_tiles[3] = stomp::f32_to_f16(std::copysign(bad, queries.values[0]));
    for (const Kernels* kernels : available_kernels()) {
      auto state = queries.start(16);
      run_pieces(*kernels, cache, queries.rows(state), 0, 70);
      CHECK(!std::isfinite(state.out[0] / state.sum[0]));
      CHECK(std::isfinite(state.out[16] / state.sum[1]));
    }
  }
}
