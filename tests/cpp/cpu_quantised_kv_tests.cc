// Keys and values as codes, of 8 bits and of 4, in the kernels: what becomes of
// them, and attention over codes against double precision over what the codes
// stand for.
#include <algorithm>
#include <cmath>
#include <vector>

#include "attention_cases.h"

using namespace attention_cases;

namespace {

constexpr KvElement kCoded[] = {KvElement::kCode8, KvElement::kCode4};
constexpr int kSizes[] = {2, 16, 34, 48, 64, 80, 128, 130};

struct Case {
  int dim;
  KvElement element;
};

/// Heads of each size in codes of each kind.
std::vector<Case> cases(std::initializer_list<int> dims) {
  std::vector<Case> all;
  for (const int dim : dims) {
    for (const KvElement element : kCoded) {
      all.push_back({dim, element});
    }
  }
  return all;
}

int groups_of(int dim) {
  return (dim + kKvGroup - 1) / kKvGroup;
}

/// One row of codes.
struct Codes {
  KvElement element = KvElement::kCode8;
  std::vector<uint8_t> bytes;
  std::vector<uint16_t> scales, biases; // one a group; no biases of 8 bits

  int code(int d) const {
    if (element == KvElement::kCode8) {
      return static_cast<int8_t>(bytes[d]);
    }
    return bytes[d / 2] >> (d % 2 * 4) & 15;
  }
  float scale(int d) const { return stomp::f16_to_f32(scales[d / kKvGroup]); }
  float bias(int d) const {
    return biases.empty() ? 0 : stomp::f16_to_f32(biases[d / kKvGroup]);
  }
  double step(int d) const {
    return element == KvElement::kCode8 ? scale(d) / double{kKvCodes}
                                        : double{scale(d)};
  }
  double value(int d) const { return code(d) * step(d) + bias(d); }
  bool operator==(const Codes&) const = default;
};

/// By every table, which must agree to the bit, and write no scale but theirs.
Codes quantised(const std::vector<float>& x, KvElement element) {
  const int n = static_cast<int>(x.size());
  const int groups = groups_of(n);
  Codes all;
  for (const Kernels* kernels : available_kernels()) {
    constexpr int kStride = 3;
    constexpr uint16_t kUntouched = 0x1234;
    Codes own{element, std::vector<uint8_t>(kv_bytes(element, n)), {}, {}};
    std::vector<uint16_t> scales(size_t(groups) * kStride, kUntouched);
    std::vector<uint16_t> biases = scales;
    if (element == KvElement::kCode8) {
      auto* codes = reinterpret_cast<int8_t*>(own.bytes.data());
      kernels->quantise_kv8(x.data(), n, codes, scales.data(), kStride);
    } else {
      kernels->quantise_kv4(
          x.data(), n, own.bytes.data(), scales.data(), biases.data(), kStride);
    }
    for (int i = 0; i < groups * kStride; i++) {
      if (i % kStride != 0) {
        CHECK_EQUAL(scales[i], kUntouched);
        CHECK_EQUAL(biases[i], kUntouched);
        continue;
      }
      own.scales.push_back(scales[i]);
      if (element == KvElement::kCode4) {
        own.biases.push_back(biases[i]);
      }
    }
    if (all.bytes.empty()) {
      all = own;
    }
    CHECK(own == all);
  }
  return all;
}

/// K and V of one head as codes; k and v are what these stand for.
struct CodedCache : Cache {
  CodedCache(int n_tokens, int head_dim, uint32_t seed, KvElement kind)
      : Cache(n_tokens, head_dim, seed),
        element(kind),
        row(kv_bytes(kind, head_dim)),
        stride((n + kTileTokens - 1) / kTileTokens * kTileTokens) {
    // What nobody wrote is not a number.
    k_codes.assign(size_t(stride) * row, 99);
    v_codes = k_codes;
    k_scales.assign(size_t(stride) * groups_of(dim) * 2, 0x7e00);
    v_scales = k_scales;
    for (int t = 0; t < n; t++) {
      set(t, k, k_scales, [&](int i) {
        const size_t tile = size_t(t / kTileTokens) * row;
        return &k_codes[(tile + i) * kTileTokens + t % kTileTokens];
      });
      set(t, v, v_scales, [&](int i) { return &v_codes[size_t(t) * row + i]; });
    }
  }
  AttentionPiece coded_piece(int position) const {
    AttentionPiece p = Cache::piece(position);
    p.element = element;
    p.scale_stride = stride;
    for (int i = 0; i * kTileTokens < p.n_tokens; i++) {
      const int token = position + i * kTileTokens;
      p.k[i] = k_codes.data() + size_t(token) * row;
      p.v[i] = v_codes.data() + size_t(token) * row;
      p.k_scales[i] = k_scales.data() + token;
      p.v_scales[i] = v_scales.data() + token;
    }
    return p;
  }

  int k_code(int t, int d) const {
    const int i = element == KvElement::kCode8 ? d : d / 2;
    const size_t tile = size_t(t / kTileTokens) * row;
    return code_in(k_codes[(tile + i) * kTileTokens + t % kTileTokens], d);
  }
  int v_code(int t, int d) const {
    const int i = element == KvElement::kCode8 ? d : d / 2;
    return code_in(v_codes[size_t(t) * row + i], d);
  }

  KvElement element;
  int row; // bytes
  int stride;
  std::vector<uint8_t> k_codes, v_codes;    // in tiles, as the pool has them
  std::vector<uint16_t> k_scales, v_scales; // (2, groups, stride): and biases

 private:
  int code_in(uint8_t byte, int d) const {
    return element == KvElement::kCode8 ? static_cast<int8_t>(byte)
                                        : byte >> (d % 2 * 4) & 15;
  }
  template <class Place>
  void set(
      int token,
      std::vector<float>& x,
      std::vector<uint16_t>& scales,
      const Place& place) {
    const auto at_row = x.begin() + static_cast<ptrdiff_t>(at(token, 0));
    const Codes own = quantised({at_row, at_row + dim}, element);
    for (int i = 0; i < row; i++) {
      *place(i) = own.bytes[i];
    }
    for (int d = 0; d < dim; d++) {
      x[at(token, d)] = static_cast<float>(own.value(d));
    }
    const int groups = groups_of(dim);
    for (int g = 0; g < groups; g++) {
      scales[size_t(g) * stride + token] = own.scales[g];
      if (!own.biases.empty()) {
        scales[size_t(groups + g) * stride + token] = own.biases[g];
      }
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
  for (const KvElement element : kCoded) {
    for (int n : kSizes) {
      for (int round = 0; round < 50; round++) {
        const float size = std::exp2(random(-16, 14));
        const float middle = round % 2 ? 0 : size * random(-1, 1);
        auto x = random.vector(n, -size, size);
        for (float& v : x) {
          v += middle;
        }
        const Codes own = quantised(x, element);
        for (int d = 0; d < n; d++) {
          // A scale that f16 rounded down clamps: of 8 bits by less than half a
          // step, of 4 by 15 times what the rounding of the scale, and of the
          // bias that it begins at, may be. What f32 adds is 2^-24 of a code's
          // 127, a few times.
          const double step = own.step(d);
          const double rounding = element == KvElement::kCode8
              ? 0
              : std::max(0x1p-25, step * 0x1p-11) * 15 +
                  std::max(0x1p-25, std::fabs(double{own.bias(d)}) * 0x1p-11);
          const bool zero = element == KvElement::kCode8 && step == 0;
          const double slack = zero ? 0x1p-17 : step * (0.5 + 1e-4) + rounding;
          check_close(own.value(d), x[d], slack, "code");
        }
      }
    }
  }
}

TEST("cpu kernels: groups of zeros and of next to nothing become zeros") {
  for (int n : kSizes) {
    for (float x : {0.0f, -0.0f, 1e-45f, -1e-40f, 5e-9f, -5e-9f}) {
      for (const KvElement element : kCoded) {
        const Codes own = quantised(std::vector<float>(n, x), element);
        for (int d = 0; d < n; d++) {
          CHECK_EQUAL(own.value(d), 0.0);
        }
      }
    }
    // Of 8 bits these too, whose scale f16 has too few bits for.
    const Codes own =
        quantised(std::vector<float>(n, -7e-6f), KvElement::kCode8);
    CHECK(own.scales == std::vector<uint16_t>(groups_of(n)));
  }
  // A group beside them keeps its own.
  std::vector<float> x(128, 1e-40f);
  x[70] = -3;
  const Codes own = quantised(x, KvElement::kCode8);
  CHECK_EQUAL(own.scales[0], 0);
  CHECK_EQUAL(own.scale(70), 3.0f);
  CHECK_EQUAL(own.code(70), -kKvCodes);
}

TEST("cpu kernels: a group of one value is that value, in 4 bits as in f16") {
  for (float x : {1.0f, -3.5f, 1000.0f, -65504.0f, 0x1p-20f}) {
    const Codes own = quantised(std::vector<float>(64, x), KvElement::kCode4);
    for (int d = 0; d < 64; d++) {
      CHECK_EQUAL(own.value(d), double{x});
    }
  }
}

TEST("cpu kernels: 4-bit codes come back as the numbers they were put in") {
  // All sixteen values of a group, in any order and place.
  Random random(7);
  for (int n : kSizes) {
    for (int round = 0; round < 20; round++) {
      const float step = std::exp2(static_cast<float>(random.integer(10)) - 5);
      const float least = step * static_cast<float>(random.integer(64) - 32);
      std::vector<float> x(n);
      std::vector<int> codes(n);
      for (int d = 0; d < n; d++) {
        codes[d] = random.integer(16);
        const bool edge = d % kKvGroup < 2;
        codes[d] = edge ? d % 2 * kKvSmallCodes : codes[d];
        x[d] = least + step * static_cast<float>(codes[d]);
      }
      const Codes own = quantised(x, KvElement::kCode4);
      for (int d = 0; d < n; d++) {
        CHECK_EQUAL(own.code(d), codes[d]);
        CHECK_EQUAL(own.value(d), double{x[d]});
      }
    }
  }
}

TEST("cpu kernels: what is not a number leaves none in its group") {
  Random random(2);
  for (const KvElement element : kCoded) {
    for (int n : kSizes) {
      for (float bad : {kNan, -kNan, kInf, -kInf, 70000.0f, -70000.0f}) {
        for (int at : {0, n / 2, n - 1}) {
          auto x = random.vector(n, -1, 1);
          x[at] = bad;
          const Codes own = quantised(x, element);
          for (int d = 0; d < n; d++) {
            const bool same = d / kKvGroup == at / kKvGroup;
            CHECK_EQUAL(std::isfinite(own.value(d)), !same);
          }
        }
      }
    }
  }
}

TEST("cpu kernels: heads that are both spread keep their product") {
  Random random(3);
  for (int n : {2, 16, 34, 48, 64, 80, 96, 128, 130, 256}) {
    const int size = std::min(kKvGroup, n & -n);
    const auto q = random.vector(n, -2, 2);
    const auto k = random.vector(n, -2, 2);
    std::vector<float> first;
    for (const Kernels* kernels : available_kernels()) {
      auto a = q;
      auto b = k;
      kernels->spread(a.data(), n);
      kernels->spread(b.data(), n);
      double want = 0;
      double got = 0;
      for (int d = 0; d < n; d++) {
        want += double{q[d]} * k[d];
        got += double{a[d]} * b[d];
        // Row d of its Hadamard matrix, element by element.
        double own = 0;
        for (int i = 0; i < size; i++) {
          const int bits = __builtin_popcount(i & (d % size));
          own += (bits % 2 ? -1 : 1) * double{q[d / size * size + i]};
        }
        check_close(a[d], own / std::sqrt(double(size)), 1e-5, "spread");
      }
      check_close(got, want, 1e-4, "product");
      if (first.empty()) {
        first = a;
      }
      CHECK(same_bits(a, first));
    }
  }
}

TEST("cpu kernels: attention to codes, of 1 to 9 rows in odd head sizes") {
  for (const auto& [dim, element] : cases({2, 16, 34, 48, 64, 80, 128, 130})) {
    const CodedCache cache(200, dim, dim, element);
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
  for (const auto& [dim, element] : cases({64, 80})) {
    const CodedCache cache(130, dim, 5, element);
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
  for (const auto& [dim, element] : cases({16, 40, 64, 130})) {
    const CodedCache cache(158, dim, 8, element);
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
            piece.k_scales[i] = piece.v_scales[i] = nullptr;
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
CodedCache cache_of_exact_codes(int n, int dim, KvElement element) {
  Random random(dim);
  CodedCache cache(n, dim, dim, element);
  const bool small = element == KvElement::kCode4;
  const auto groups = static_cast<size_t>(groups_of(dim));
  const auto set = [&](int t, int d, std::vector<uint16_t>& scales, int code) {
    const size_t scale = d / kKvGroup * size_t(cache.stride) + t;
    if (d % kKvGroup == 0) {
      const float step = std::exp2(-6.0f - random.integer(4));
      scales[scale] = stomp::f32_to_f16(small ? step : step * kKvCodes);
      if (small) {
        const auto least = static_cast<float>(random.integer(32) - 24);
        scales[scale + groups * cache.stride] = stomp::f32_to_f16(step * least);
      }
    }
    const float top = stomp::f16_to_f32(scales[scale]);
    return small ? top * static_cast<float>(code) +
            stomp::f16_to_f32(scales[scale + groups * cache.stride])
                 : top / kKvCodes * static_cast<float>(code);
  };
  for (int t = 0; t < n; t++) {
    for (int d = 0; d < dim; d++) {
      cache.set_k(t, d, set(t, d, cache.k_scales, cache.k_code(t, d)));
      cache.set_v(t, d, set(t, d, cache.v_scales, cache.v_code(t, d)));
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
  for (const auto& [dim, element] : cases({32, 64, 96, 128})) {
    if (!kernels) {
      return;
    }
    const CodedCache cache = cache_of_exact_codes(150, dim, element);
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
