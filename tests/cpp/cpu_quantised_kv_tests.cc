// Keys and values as 8-bit codes, in the kernels: what quantise_kv makes of
// them, and attention over codes against double precision over what the codes
// stand for.
#include <algorithm>
#include <cmath>
#include <vector>

#include "attention_cases.h"

using namespace attention_cases;

namespace {

constexpr int kSizes[] = {1, 16, 48, 64, 80, 128, 130};

int groups_of(int dim) {
  return (dim + kKvGroup - 1) / kKvGroup;
}

struct Codes {
  std::vector<int8_t> codes;
  std::vector<uint16_t> tops; // one a group

  float top(int d) const { return stomp::f16_to_f32(tops[d / kKvGroup]); }
  float value(int d) const { return codes[d] * (top(d) / kKvCodes); }
  bool operator==(const Codes&) const = default;
};

/// By every table, which must agree to the bit, and write no top but theirs.
Codes quantised(const std::vector<float>& x) {
  const int n = static_cast<int>(x.size());
  const int groups = groups_of(n);
  Codes all;
  for (const Kernels* kernels : available_kernels()) {
    constexpr int kStride = 3;
    Codes own{std::vector<int8_t>(n), {}};
    std::vector<uint16_t> tops(static_cast<size_t>(groups) * kStride, 0x1234);
    kernels->quantise_kv(x.data(), n, own.codes.data(), tops.data(), kStride);
    for (int i = 0; i < groups * kStride; i++) {
      if (i % kStride == 0) {
        own.tops.push_back(tops[i]);
      } else {
        CHECK_EQUAL(tops[i], 0x1234);
      }
    }
    if (all.codes.empty()) {
      all = own;
    }
    CHECK(own == all);
  }
  return all;
}

/// As a block leaves the pool.
std::vector<float> through_f16(const Codes& from) {
  std::vector<float> x;
  for (size_t d = 0; d < from.codes.size(); d++) {
    const uint16_t half = stomp::f32_to_f16(from.value(static_cast<int>(d)));
    x.push_back(stomp::f16_to_f32(half));
  }
  return x;
}

/// K and V of one head as codes; k and v are what these stand for.
struct CodedCache : Cache {
  CodedCache(int n_tokens, int head_dim, uint32_t seed)
      : Cache(n_tokens, head_dim, seed),
        stride((n + kTileTokens - 1) / kTileTokens * kTileTokens) {
    // What nobody wrote is not a number.
    k_codes.assign(size_t(stride) * dim, 99);
    v_codes = k_codes;
    k_tops.assign(size_t(stride) * groups_of(dim), 0x7e00);
    v_tops = k_tops;
    for (int t = 0; t < n; t++) {
      set(t, k, k_tops, [&](int d) {
        const size_t tile = size_t(t / kTileTokens) * dim;
        return &k_codes[(tile + d) * kTileTokens + t % kTileTokens];
      });
      set(t, v, v_tops, [&](int d) { return &v_codes[at(t, d)]; });
    }
  }
  AttentionPiece coded_piece(int position) const {
    AttentionPiece p = Cache::piece(position);
    p.codes = true;
    p.top_stride = stride;
    for (int i = 0; i * kTileTokens < p.n_tokens; i++) {
      const int token = position + i * kTileTokens;
      p.k[i] = k_codes.data() + size_t(token) * dim;
      p.v[i] = v_codes.data() + size_t(token) * dim;
      p.k_tops[i] = k_tops.data() + token;
      p.v_tops[i] = v_tops.data() + token;
    }
    return p;
  }

  int stride;
  std::vector<int8_t> k_codes, v_codes; // in tiles, as the pool has them
  std::vector<uint16_t> k_tops, v_tops; // (groups, stride)

 private:
  template <class Place>
  void set(
      int token,
      std::vector<float>& x,
      std::vector<uint16_t>& tops,
      const Place& place) {
    const auto row = x.begin() + static_cast<ptrdiff_t>(at(token, 0));
    const Codes own = quantised({row, row + dim});
    for (int d = 0; d < dim; d++) {
      *place(d) = own.codes[d];
      x[at(token, d)] = own.value(d);
    }
    for (int g = 0; g < groups_of(dim); g++) {
      tops[size_t(g) * stride + token] = own.tops[g];
    }
  }
};

void run_pieces(
    const Kernels& kernels,
    const CodedCache& cache,
    const AttentionRows& rows,
    int to) {
  std::vector<float> scratch(piece_scratch_floats(cache.dim), kNan);
  for (int at = 0; at < to; at += kPieceTokens) {
    kernels.attend_piece(cache.coded_piece(at), rows, scratch.data());
  }
}

} // namespace

TEST("cpu kernels: codes of keys and values are within half a step") {
  Random random(1);
  for (int n : kSizes) {
    for (int round = 0; round < 50; round++) {
      const float size = std::exp2(random(-16, 15));
      const auto x = random.vector(n, -size, size);
      const Codes own = quantised(x);
      for (int d = 0; d < n; d++) {
        // A top that f16 rounded down clamps, by less than half a step. What
        // f32 adds is 2^-24 of a code's 127, a few times.
        const double step = own.top(d) / double{kKvCodes};
        const double slack = own.top(d) > 0 ? step * (0.5 + 1e-4) : 0x1p-17;
        check_close(own.codes[d] * step, x[d], slack, "code");
      }
    }
  }
}

TEST("cpu kernels: groups of zeros and of next to nothing become zeros") {
  for (int n : kSizes) {
    for (float x : {0.0f, -0.0f, 1e-45f, -1e-40f, 5e-8f, -7e-6f}) {
      const Codes own = quantised(std::vector<float>(n, x));
      CHECK(own.codes == std::vector<int8_t>(n));
      CHECK(own.tops == std::vector<uint16_t>(groups_of(n)));
    }
  }
  // A group beside them keeps its own.
  std::vector<float> x(128, 1e-40f);
  x[70] = -3;
  const Codes own = quantised(x);
  CHECK_EQUAL(own.tops[0], 0);
  CHECK_EQUAL(own.top(70), 3.0f);
  CHECK_EQUAL(int{own.codes[70]}, -kKvCodes);
}

TEST("cpu kernels: what is not a number makes its group's top none") {
  Random random(2);
  for (int n : kSizes) {
    for (float bad : {kNan, -kNan, kInf, -kInf, 70000.0f}) {
      for (int at : {0, n / 2, n - 1}) {
        auto x = random.vector(n, -1, 1);
        x[at] = bad;
        const Codes own = quantised(x);
        for (int d = 0; d < n; d++) {
          const bool same = d / kKvGroup == at / kKvGroup;
          CHECK_EQUAL(std::isfinite(own.top(d)), !same);
          // Nor is any of it, as it is attended to and as it goes out.
          CHECK_EQUAL(std::isfinite(own.value(d)), !same);
          CHECK_EQUAL(std::isfinite(through_f16(own)[d]), !same);
        }
      }
    }
  }
}

TEST("cpu kernels: codes that went through f16 are found again") {
  Random random(3);
  for (int n : kSizes) {
    for (int round = 0; round < 1000; round++) {
      // From below what f16 can tell from zero to its largest number.
      const float size = std::exp2(random(-27, 16));
      auto x = random.vector(n, -size, size);
      if (round % 3 == 0) {
        // All the codes there are, the small ones among them.
        for (float& v : x) {
          v *= std::exp2(random(-8, 0));
        }
      }
      const Codes own = quantised(x);
      CHECK(quantised(through_f16(own)) == own);
    }
  }
  // Every top with every code.
  for (int top = 0; top < 0x7c00; top++) {
    Codes own{{}, {static_cast<uint16_t>(top), static_cast<uint16_t>(top)}};
    for (int code = 0; code <= kKvCodes; code++) {
      own.codes.push_back(static_cast<int8_t>(code % 2 ? code : -code));
    }
    own.codes[0] = kKvCodes;
    if (own.top(0) < 0x1p-17f) {
      own = {std::vector<int8_t>(128), {0, 0}};
    }
    CHECK(quantised(through_f16(own)) == own);
  }
}

TEST("cpu kernels: attention to codes, of 1 to 9 rows in odd head sizes") {
  for (int dim : {2, 16, 34, 48, 64, 80, 128, 130}) {
    const CodedCache cache(200, dim, dim);
    for (int n = 1; n <= 9; n++) {
      std::vector<int> first(n, 0);
      std::vector<int> last;
      for (int r = 0; r < n; r++) {
        last.push_back(199 - (n - 1 - r) * 9);
      }
      const Queries queries(cache, first, last, n);
      on_every_table([&](const Kernels& kernels) {
        auto state = queries.start(dim);
        run_pieces(kernels, cache, queries.rows(state), 200);
        return attended(cache, queries, state);
      });
    }
  }
}

TEST("cpu kernels: attention to codes does not depend on a row's neighbours") {
  // Alone a row reads codes as they lie, among nine as they were widened.
  for (int dim : {64, 80}) {
    const CodedCache cache(130, dim, 5);
    const Queries queries(
        cache,
        {0, 30, 64, 0, 100, 0, 0, 127, 5},
        {129, 90, 64, 3, 129, 63, 127, 128, 77},
        5);
    for (const Kernels* kernels : available_kernels()) {
      auto together = queries.start(dim);
      run_pieces(*kernels, cache, queries.rows(together), 130);
      attended(cache, queries, together);
      for (int r = 0; r < queries.n(); r++) {
        auto alone = queries.start(dim);
        const int end = queries.last[r] + 1;
        run_pieces(*kernels, cache, queries.rows(alone, r, 1), end);
        CHECK_EQUAL(alone.max[0], together.max[r]);
        CHECK_EQUAL(alone.sum[0], together.sum[r]);
        CHECK(std::equal(
            alone.out.begin(),
            alone.out.begin() + dim,
            together.out.begin() + size_t(r) * dim));
      }
    }
  }
}

TEST("cpu kernels: tiles of codes that no row attends to may be missing") {
  // A window of 30 at positions 150..157: nothing before 112 is needed.
  for (int dim : {16, 40, 64, 130}) {
    const CodedCache cache(158, dim, 8);
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
          AttentionPiece piece = cache.coded_piece(64);
          for (int i = 0; i < 3 && missing; i++) {
            piece.k[i] = piece.v[i] = nullptr;
            piece.k_tops[i] = piece.v_tops[i] = nullptr;
          }
          const AttentionPiece next = cache.coded_piece(128);
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

namespace {

/// Codes whose step is a power of two, so that what they stand for is f16;
/// another power for each group and token.
CodedCache cache_of_exact_codes(int n, int dim) {
  Random random(dim);
  CodedCache cache(n, dim, dim);
  for (auto* tops : {&cache.k_tops, &cache.v_tops}) {
    for (int g = 0; g < groups_of(dim); g++) {
      for (int t = 0; t < n; t++) {
        const float step = std::exp2(-6.0f - random.integer(4));
        (*tops)[size_t(g) * cache.stride + t] =
            stomp::f32_to_f16(step * kKvCodes);
      }
    }
  }
  for (int t = 0; t < n; t++) {
    for (int d = 0; d < dim; d++) {
      const size_t top = size_t(d / kKvGroup) * cache.stride + t;
      const size_t tile = size_t(t / kTileTokens) * dim;
      const size_t at = (tile + d) * kTileTokens + t % kTileTokens;
      const auto k = static_cast<float>(cache.k_codes[at]);
      const auto v = static_cast<float>(cache.v_codes[cache.at(t, d)]);
      cache.set_k(t, d, k * stomp::f16_to_f32(cache.k_tops[top]) / kKvCodes);
      cache.set_v(t, d, v * stomp::f16_to_f32(cache.v_tops[top]) / kKvCodes);
    }
  }
  return cache;
}

/// One tile of rows through all pieces, as codes or as the f16 they stand for.
Queries::State attend_in_tiles(
    const TileKernels& kernels,
    const CodedCache& cache,
    const Queries& queries,
    bool codes) {
  const int n = kTileRows;
  const int dim = cache.dim;
  Queries::State state{
      std::vector<float>(n, -kInf),
      std::vector<float>(n),
      std::vector<float>(static_cast<size_t>(n) * dim)};
  std::vector<uint16_t> tiles(static_cast<size_t>(n) * dim);
  TileAttention rows;
  rows.q = {tiles.data(), dim / kTileK};
  rows.state = queries.rows(state);
  for (int r = 0; r < n; r++) {
    kernels.round_row(queries.q[r], dim, 1, rows.q, r, 0);
  }
  std::vector<std::byte> scratch(
      kernels.attend_scratch_bytes(dim), std::byte{0xff});
  for (int at = 0; at < cache.n; at += kPieceTokens) {
    const AttentionPiece piece =
        codes ? cache.coded_piece(at) : cache.piece(at);
    kernels.attend_piece(piece, rows, scratch.data());
  }
  return state;
}

} // namespace

TEST("cpu kernels: tile attention to codes that are f16 equals that to f16") {
  const TileKernels* kernels = tile_kernels();
  for (int dim : {32, 64, 96, 128}) {
    if (!kernels) {
      return;
    }
    const CodedCache cache = cache_of_exact_codes(150, dim);
    std::vector<int> first, last;
    for (int r = 0; r < kTileRows; r++) {
      last.push_back(150 - kTileRows + r);
      first.push_back(r % 2 ? 0 : 40 + r);
    }
    const Queries queries(cache, first, last, 9);
    const auto of_codes = attend_in_tiles(*kernels, cache, queries, true);
    const auto of_f16 = attend_in_tiles(*kernels, cache, queries, false);
    CHECK(same_bits(of_codes.out, of_f16.out));
    CHECK(same_bits(of_codes.sum, of_f16.sum));
    CHECK(same_bits(of_codes.max, of_f16.max));
  }
}
