// The attention kernels of every table against double precision, and all
// tables against each other, to the bit.
#include <algorithm>
#include <cmath>
#include <vector>

#include "attention_cases.h"

using namespace attention_cases;

namespace {

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
    for (int r = 0; r < queries.n(); r++) {
      auto alone = queries.start(64);
      const int end = queries.last[r] + 1;
      run_pieces(*kernels, cache, queries.rows(alone, r, 1), 0, end);
      CHECK_EQUAL(alone.max[0], together.max[r]);
      CHECK_EQUAL(alone.sum[0], together.sum[r]);
      CHECK(std::equal(
          alone.out.begin(),
          alone.out.begin() + 64,
          together.out.begin() + r * 64));
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
    // Nothing and nothing is nothing, and takes what comes.
    auto none = queries.start(48);
    auto other = queries.start(48);
    kernels.merge_rows(queries.rows(other), queries.rows(none), 48);
    CHECK(none.max == other.max && none.sum == other.sum);
    CHECK(none.out == other.out);
    kernels.merge_rows(queries.rows(all), queries.rows(none), 48);
    CHECK(none.max == all.max && none.sum == all.sum && none.out == all.out);
    return attended(cache, queries, all);
  });
}

TEST("cpu kernels: attention to what is not a number gives none") {
  for (float bad : {kNan, kInf}) {
    Cache cache(70, 16, 7);
    const Queries queries(cache, {0, 4}, {69, 69}, 7);
    // Position 3, with the sign that makes the score infinite upwards.
    cache.set_k(3, 0, std::copysign(bad, queries.values[0]));
    for (const Kernels* kernels : available_kernels()) {
      auto state = queries.start(16);
      run_pieces(*kernels, cache, queries.rows(state), 0, 70);
      CHECK(!std::isfinite(state.out[0] / state.sum[0]));
      CHECK(std::isfinite(state.out[16] / state.sum[1]));
    }
  }
}

TEST("cpu kernels: tiles that no row attends to may be missing") {
  // A window of 30 at positions 150..157: nothing before 112 is needed.
  for (int dim : {16, 40, 64}) {
    const Cache cache(158, dim, 8);
    for (int n : {1, 8}) {
      std::vector<int> first, last;
      for (int r = 0; r < n; r++) {
        last.push_back(150 + r);
        first.push_back(121 + r);
      }
      const Queries queries(cache, first, last, 8);
      on_every_table([&](const Kernels& kernels) {
        const auto run = [&](bool missing) {
          auto state = queries.start(dim);
          std::vector<float> scratch(piece_scratch_floats(dim), kNan);
          AttentionPiece piece = cache.piece(64);
          for (int i = 0; i < 3 && missing; i++) {
            piece.k[i] = piece.v[i] = nullptr;
          }
          const AttentionPiece next = cache.piece(128);
          piece.next = &next;
          kernels.attend_piece(piece, queries.rows(state), scratch.data());
          kernels.attend_piece(next, queries.rows(state), scratch.data());
          return attended(cache, queries, state);
        };
        const auto whole = run(false);
        CHECK(same_bits(run(true), whole));
        return whole;
      });
    }
  }
}
