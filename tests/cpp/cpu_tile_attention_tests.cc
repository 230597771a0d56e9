// Attention on the matrix units against double precision.
//
// Queries, K and V are rounded to bf16 first; taken as they then are, what the
// kernel itself adds is
//   - the weights' rounding to bf16: up to 2^-8 of each, so of the weighted sum
//     of |V|;
//   - scores, in f32 and up to about 100 here: off by 2^-24 of their terms'
//     sum times a few, which is less than 1e-5 of a weight;
//   - exp2, within 3e-6, once for a weight and once for every later piece.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "attention_cases.h"

using namespace attention_cases;

namespace {

constexpr double kLog2E = 1.4426950408889634;

float through_bf16(float x) {
  return stomp::bf16_to_f32(stomp::f32_to_bf16(x));
}

std::vector<float> through_bf16(std::vector<float> x) {
  for (float& v : x) {
    v = through_bf16(v);
  }
  return x;
}

/// Runs the rows [from, from + n) of `queries` over positions [begin, end).
Queries::State run(
    const TileKernels& kernels,
    const Cache& cache,
    const Queries& queries,
    int from,
    int n,
    int begin,
    int end) {
  const int dim = cache.dim;
  const int whole = (n + kTileRows - 1) / kTileRows * kTileRows;
  Queries::State state{
      std::vector<float>(n, -kInf),
      std::vector<float>(n),
      std::vector<float>(static_cast<size_t>(whole) * dim)};
  // Rows of a tile that are no queries may hold anything.
  std::vector<uint16_t> tiles(static_cast<size_t>(whole) * dim, 0x7fc0);
  TileAttention rows;
  rows.q = {tiles.data(), dim / kTileK};
  rows.state = queries.rows(state, from, n);
  rows.state.q = nullptr;
  for (int r = 0; r < n; r++) {
    kernels.round_row(
        queries.q[from + r], dim, static_cast<float>(kLog2E), rows.q, r, 0);
  }
  std::vector<std::byte> scratch(
      kernels.attend_scratch_bytes(dim), std::byte{0xff});
  for (int at = begin; at < end; at += kPieceTokens) {
    kernels.attend_piece(cache.piece(at), rows, scratch.data());
  }
  return state;
}

Queries::State
run_all(const TileKernels& kernels, const Cache& cache, const Queries& q) {
  return run(kernels, cache, q, 0, q.n(), 0, cache.n);
}

void check_attended(
    const Cache& cache,
    const Queries& queries,
    const Queries::State& state) {
  const auto k = through_bf16(cache.k);
  const auto v = through_bf16(cache.v);
  const int pieces = (cache.n + kPieceTokens - 1) / kPieceTokens;
  const double slack = 1e-5 + 3e-6 * (pieces + 1);
  for (int r = 0; r < queries.n(); r++) {
    std::vector<double> q;
    for (int d = 0; d < cache.dim; d++) {
      const float scaled = queries.q[r][d] * static_cast<float>(kLog2E);
      q.push_back(through_bf16(scaled) / kLog2E);
    }
    const Attended want =
        attend(cache, k, v, q.data(), queries.first[r], queries.last[r]);
    // Sums are of the weights as they were before they were rounded.
    check_close(state.max[r] / kLog2E, want.top, 1e-5 * 64, "largest score");
    const double drift =
        std::exp2(state.max[r] - static_cast<double>(want.top) * kLog2E);
    check_close(state.sum[r] * drift, want.total, slack * want.total, "sum");
    for (int d = 0; d < cache.dim; d++) {
      check_close(
          state.out[static_cast<size_t>(r) * cache.dim + d] / state.sum[r],
          want.out[d],
          (0x1p-8 + slack) * want.size[d],
          "tile attention");
    }
  }
}

/// n rows at the end of the cache, each seeing `window` positions at most.
Queries causal(const Cache& cache, int n, int window, uint32_t seed) {
  std::vector<int> first, last;
  for (int r = 0; r < n; r++) {
    last.push_back(cache.n - n + r);
    first.push_back(std::max(0, last.back() - window + 1));
  }
  return {cache, first, last, seed};
}

} // namespace

TEST("cpu kernels: tile attention of 1 to 96 causal rows") {
  const TileKernels* kernels = tile_kernels();
  for (int dim : {32, 64, 96, 128}) {
    for (int n : {1, 2, 15, 16, 17, 48, 96}) {
      if (!kernels) {
        return;
      }
      for (int tokens : {n, 96 + n, 200}) {
        const Cache cache(tokens, dim, dim + n);
        const Queries queries = causal(cache, n, tokens, n);
        check_attended(cache, queries, run_all(*kernels, cache, queries));
      }
    }
  }
}

TEST("cpu kernels: tile attention at every length of the last piece") {
  const TileKernels* kernels = tile_kernels();
  for (int tokens = 1; tokens <= 130; tokens++) {
    if (!kernels) {
      return;
    }
    const Cache cache(tokens, 32, tokens);
    const Queries queries = causal(cache, std::min(tokens, 20), tokens, 1);
    check_attended(cache, queries, run_all(*kernels, cache, queries));
  }
}

TEST("cpu kernels: tile attention in windows, their passed tiles missing") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  const Cache cache(230, 64, 3);
  for (int window : {1, 2, 15, 16, 17, 63, 64, 65, 100}) {
    const Queries queries = causal(cache, 32, window, window);
    const auto whole = run_all(*kernels, cache, queries);
    check_attended(cache, queries, whole);
    // The same without what lies before the window of every row.
    Cache gone = cache;
    for (int t = 0; t < queries.first[0] / kTileTokens; t++) {
      const size_t tile = size_t{64} * kTileTokens;
      std::fill_n(gone.k_tiles.begin() + t * tile, tile, 0x7e00);
      std::fill_n(gone.v_tiles.begin() + t * tile, tile, 0x7e00);
    }
    Queries::State state = queries.start(64);
    std::vector<uint16_t> tiles(size_t{32} * 64);
    TileAttention rows;
    rows.q = {tiles.data(), 2};
    rows.state = queries.rows(state);
    for (int r = 0; r < 32; r++) {
      kernels->round_row(
          queries.q[r], 64, static_cast<float>(kLog2E), rows.q, r, 0);
    }
    std::vector<std::byte> scratch(kernels->attend_scratch_bytes(64));
    const int first = queries.first[0];
    for (int at = first / kPieceTokens * kPieceTokens; at < 230;
         at += kPieceTokens) {
      AttentionPiece piece = gone.piece(at);
      for (int i = 0; i < 4; i++) {
        if (at + (i + 1) * kTileTokens <= first) {
          piece.k[i] = piece.v[i] = nullptr;
        }
      }
      kernels->attend_piece(piece, rows, scratch.data());
    }
    CHECK(same_bits(state.out, whole.out));
    CHECK(same_bits(state.sum, whole.sum));
  }
}

TEST("cpu kernels: a row's tile attention does not depend on its neighbours") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  const Cache cache(190, 64, 4);
  Queries queries = causal(cache, 40, 90, 4);
  queries.first[3] = queries.last[3] = 7; // far from the others
  queries.first[20] = 0;
  const auto together = run_all(*kernels, cache, queries);
  check_attended(cache, queries, together);
  for (int r = 0; r < queries.n(); r++) {
    // Only the pieces that it attends to.
    const auto alone =
        run(*kernels,
            cache,
            queries,
            r,
            1,
            queries.first[r] / kPieceTokens * kPieceTokens,
            queries.last[r] + 1);
    CHECK_EQUAL(alone.max[0], together.max[r]);
    CHECK_EQUAL(alone.sum[0], together.sum[r]);
    CHECK(std::equal(
        alone.out.begin(),
        alone.out.begin() + 64,
        together.out.begin() + size_t(r) * 64));
  }
}

TEST("cpu kernels: tile attention of far-apart scores") {
  // One position outweighs all others, early or late, by more than f32 holds.
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  for (int at : {0, 70, 139}) {
    Cache cache(140, 32, 5);
    Queries queries = causal(cache, 1, 140, 5);
    for (int d = 0; d < 32; d++) {
      const bool up = queries.values[d] > 0;
      cache.set_k(at, d, up ? 40.0f : -40.0f);
      cache.set_k(at == 0 ? 1 : 0, d, up ? -4000.0f : 4000.0f);
    }
    const auto state = run_all(*kernels, cache, queries);
    check_attended(cache, queries, state);
  }
}

TEST("cpu kernels: tile attention to what is not a number gives none") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  for (float bad : {kNan, kInf}) {
    for (int token : {3, 69}) {
      Cache keys(70, 32, 7);
      const Queries queries(keys, {0, 4, 0}, {69, 68, 2}, 7);
      // With the sign that makes the score infinite upwards.
      keys.set_k(token, 0, std::copysign(bad, queries.values[0]));
      const auto state = run_all(*kernels, keys, queries);
      CHECK(!std::isfinite(state.out[0] / state.sum[0]));
      CHECK(std::isfinite(state.out[32] / state.sum[1]));
      CHECK(std::isfinite(state.out[64] / state.sum[2]));
      Cache values(70, 32, 7);
      values.set_v(token, 5, bad);
      const auto of_v = run_all(*kernels, values, queries);
      CHECK(!std::isfinite(of_v.out[5] / of_v.sum[0]));
      CHECK(std::isfinite(of_v.out[4] / of_v.sum[0]));
    }
  }
}
