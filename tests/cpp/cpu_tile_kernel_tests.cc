// The linear kernels of the matrix units, in bf16, against double precision.
//
// bf16 has 8 significant bits: rounding is off by half a step, which is between
// 2^-9 and 2^-8 of the value. What is rounded is compared bit by bit with
// base/half.h as well, so that products can be judged by what they add
// themselves: f32 sums of exact products.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/half.h"
#include "kernel_weights.h"

using namespace kernel_checks;

namespace {

/// Row tiles that hold NaN until they are written.
struct Tiles {
  Tiles(int rows, int cols)
      : k_tiles((cols + kTileK - 1) / kTileK),
        values(
            static_cast<size_t>((rows + kTileRows - 1) / kTileRows) * k_tiles *
                kTileElements,
            0x7fc0) {}
  TileRows rows() { return {values.data(), k_tiles}; }
  uint16_t& at(int row, int k) {
    return rows().tile(
        row / kTileRows, k / kTileK)[row % kTileRows * kTileK + k % kTileK];
  }

  int k_tiles;
  std::vector<uint16_t> values;
};

/// Element k of a column of a panel.
size_t panel_at(int column, int k) {
  return (static_cast<size_t>(k / 2) * kBlockColumns + column) * 2 + k % 2;
}

/// Within half a step of bf16, and whatever f32 was off by before.
void check_rounded(uint16_t got, double want, double slack, const char* what) {
  int exponent;
  std::frexp(want, &exponent); // 2^(exponent - 1) <= |want|
  const double half_step = std::ldexp(1.0, exponent - 9);
  check_close(stomp::bf16_to_f32(got), want, half_step + slack, what);
}

} // namespace

// ---- rounding ----

TEST("cpu kernels: round_row is to the nearest, with zeros up to whole tiles") {
  const TileKernels* kernels = tile_kernels();
  for (int n : {1, 15, 16, 17, 31, 32, 33, 50, 64, 576}) {
    if (!kernels) {
      return;
    }
    Random random(n);
    for (float scale : {1.0f, 0.18033688f}) {
      Tiles tiles(40, n);
      for (int row : {0, 5, 16, 39}) {
        const auto x = random.vector(n, -3, 3);
        kernels->round_row(x.data(), n, scale, tiles.rows(), row, 0);
        for (int k = 0; k < n; k++) {
          CHECK_EQUAL(tiles.at(row, k), stomp::f32_to_bf16(x[k] * scale));
          check_rounded(
              tiles.at(row, k), double{x[k]} * scale, 1e-6, "round_row");
        }
        for (int k = n; k < tiles.k_tiles * kTileK; k++) {
          CHECK_EQUAL(tiles.at(row, k), 0);
        }
      }
      for (int row : {1, 4, 6, 15, 17, 38}) {
        for (int k = 0; k < tiles.k_tiles * kTileK; k++) {
          CHECK_EQUAL(tiles.at(row, k), 0x7fc0); // still nobody's
        }
      }
    }
  }
}

TEST("cpu kernels: round_row takes ties to even and keeps what is no number") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  const std::vector<float> x = {
      1.00390625f, // halfway between two: down to the even one
      1.01171875f, // halfway: up
      1.00390637f,
      -1.00390625f,
      3.4e38f, // rounds to infinity
      0.0f,
      -0.0f,
      kInf,
      -kInf,
      kNan,
      -kNan};
  const int n = static_cast<int>(x.size());
  Tiles tiles(1, n);
  kernels->round_row(x.data(), n, 1, tiles.rows(), 0, 0);
  for (int k = 0; k < n; k++) {
    const float got = stomp::bf16_to_f32(tiles.at(0, k));
    if (std::isnan(x[k])) {
      CHECK(std::isnan(got));
    } else {
      CHECK_EQUAL(tiles.at(0, k), stomp::f32_to_bf16(x[k]));
    }
  }
  CHECK_EQUAL(stomp::bf16_to_f32(tiles.at(0, 7)), kInf);
}

TEST("cpu kernels: round_gated is silu of the gate times up, rounded") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  for (int n : {1, 16, 37}) {
    for (int first : {0, 16, 48}) {
      Random random(n + first);
      const auto x = random.vector(size_t(n) * 2 * kBlockColumns, -20, 20);
      Tiles tiles(n, 64);
      kernels->round_gated(x.data(), n, tiles.rows(), first);
      for (int r = 0; r < n; r++) {
        const float* row = x.data() + r * 2 * kBlockColumns;
        for (int c = 0; c < kBlockColumns; c++) {
          const double gate = row[c];
          const double want =
              gate / (1 + std::exp(-gate)) * row[kBlockColumns + c];
          // silu as the vector units': 4e-7, see the test of silu_mul.
          check_rounded(
              tiles.at(r, first + c), want, 5e-7 * std::fabs(want), "gated");
        }
        for (int k = 0; k < 64; k++) {
          if (k < first || k >= first + kBlockColumns) {
            CHECK_EQUAL(tiles.at(r, k), 0x7fc0);
          }
        }
      }
    }
  }
}

TEST("cpu kernels: round_gated keeps what is no number") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  std::vector<float> x(2 * kBlockColumns, 1.0f);
  x[1] = kNan;
  x[kBlockColumns + 2] = kNan;
  x[3] = kInf;
  x[kBlockColumns + 4] = -kInf;
  x[5] = -1e30f;
  Tiles tiles(1, kTileK);
  kernels->round_gated(x.data(), 1, tiles.rows(), 0);
  const auto at = [&](int k) { return stomp::bf16_to_f32(tiles.at(0, k)); };
  CHECK(std::isfinite(at(0)));
  CHECK(std::isnan(at(1)) && std::isnan(at(2)));
  CHECK_EQUAL(at(3), kInf);
  CHECK_EQUAL(at(4), -kInf);
  check_close(at(5), 0, 1e-7, "far below 0");
}

// ---- widening ----

TEST("cpu kernels: quantised weights are widened to the nearest bf16") {
  const TileKernels* kernels = tile_kernels();
  for (int bits : {2, 3, 4, 5, 6, 8}) {
    if (!kernels) {
      return;
    }
    for (int group : {32, 64, 128}) {
      for (int form = 0; form < 4; form++) {
        const auto layout =
            layout_of(3 * group, bits, group, form & 1, form & 2);
        const QuantisedWeights w(layout, bits, form);
        const auto block = w.pack();
        const int k_tiles = layout.cols / kTileK;
        // All of K, and from the middle on.
        for (int from : {0, 1, k_tiles / 2}) {
          const int n = k_tiles - from;
          std::vector<uint16_t> panel(n * kTileElements + 1, 0x7fc0);
          kernels->widen_quantised(layout, block.data(), from, n, panel.data());
          for (int c = 0; c < kBlockColumns; c++) {
            for (int i = 0; i < n * kTileK; i++) {
              const int k = from * kTileK + i;
              const uint16_t got = panel[panel_at(c, i)];
              const float fused = std::fma(
                  static_cast<float>(w.codes[w.at(c, k)]),
                  w.scale(c, k),
                  w.bias(c, k));
              CHECK_EQUAL(got, stomp::f32_to_bf16(fused));
              check_rounded(
                  got, w.weight(c, k), 0x1p-23 * std::fabs(fused), "widened");
            }
          }
          CHECK_EQUAL(panel.back(), 0x7fc0);
        }
      }
    }
  }
}

TEST("cpu kernels: dense weights are widened, and end in zeros") {
  const TileKernels* kernels = tile_kernels();
  for (DenseType type : {DenseType::kF32, DenseType::kF16, DenseType::kBF16}) {
    if (!kernels) {
      return;
    }
    for (int cols : {1, 31, 32, 51, 100, 576}) {
      const DenseWeights w({cols, type}, 16, cols);
      const auto block = w.pack();
      const int k_tiles = (cols + kTileK - 1) / kTileK;
      for (int from : {0, k_tiles - 1}) {
        const int n = k_tiles - from;
        std::vector<uint16_t> panel(n * kTileElements + 1, 0x7fc0);
        kernels->widen_dense(w.layout, block.data(), from, n, panel.data());
        for (int c = 0; c < kBlockColumns; c++) {
          for (int i = 0; i < n * kTileK; i++) {
            const int k = from * kTileK + i;
            const float want = k < cols ? w.values[w.at(c, k)] : 0;
            CHECK_EQUAL(panel[panel_at(c, i)], stomp::f32_to_bf16(want));
          }
        }
        CHECK_EQUAL(panel.back(), 0x7fc0);
      }
    }
  }
}

TEST("cpu kernels: a weight that is no number stays one when widened") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  for (float bad : {kNan, kInf, -kInf}) {
    QuantisedWeights w(layout_of(64, 4, 32, true, true), 4, 1);
    w.biases[3] = bad; // column 1, from K = 32
    std::vector<uint16_t> panel(2 * kTileElements);
    kernels->widen_quantised(w.layout, w.pack().data(), 0, 2, panel.data());
    CHECK(std::isfinite(stomp::bf16_to_f32(panel[panel_at(1, 31)])));
    CHECK(!std::isfinite(stomp::bf16_to_f32(panel[panel_at(1, 32)])));
    DenseWeights d({64, DenseType::kF32}, 16, 1);
    d.values[d.at(5, 7)] = bad;
    kernels->widen_dense(d.layout, d.pack().data(), 0, 2, panel.data());
    CHECK(!std::isfinite(stomp::bf16_to_f32(panel[panel_at(5, 7)])));
    CHECK(std::isfinite(stomp::bf16_to_f32(panel[panel_at(5, 6)])));
  }
}

// ---- products ----

namespace {

/// Rows and two panels of bf16, random.
struct Product {
  Product(int n_rows, int n_k, uint32_t seed)
      : n_rows(n_rows), n_k(n_k), tiles(n_rows, n_k * kTileK) {
    Random random(seed);
    for (int r = 0; r < n_rows; r++) {
      for (int k = 0; k < n_k * kTileK; k++) {
        tiles.at(r, k) = stomp::f32_to_bf16(random(-2, 2));
      }
    }
    for (auto& panel : panels) {
      for (int i = 0; i < n_k * kTileElements; i++) {
        panel.push_back(stomp::f32_to_bf16(random(-1, 1)));
      }
    }
  }

  int row_tiles() const { return (n_rows + kTileRows - 1) / kTileRows; }

  /// K tiles of each call; (rows, kStride), `start` before the first.
  static constexpr size_t kStride = 2 * kBlockColumns + 5;
  std::vector<float>
  run(const TileKernels& kernels, int panel_tiles, float start, bool add) {
    std::vector<float> y(row_tiles() * kTileRows * kStride, start);
    for (int k = 0; k < n_k; k += panel_tiles) {
      TileProduct p;
      p.rows = tiles.rows();
      p.first_k = k;
      p.n_k = std::min(panel_tiles, n_k - k);
      p.row_tiles = row_tiles();
      for (int i = 0; i < 2; i++) {
        p.panels[i] = panels[i].data() + k * kTileElements;
        p.out[i] = {y.data() + i * kBlockColumns, kStride, add || k > 0};
      }
      kernels.multiply(p);
    }
    return y;
  }

  int n_rows, n_k;
  Tiles tiles;
  std::vector<uint16_t> panels[2];
};

/// Products of bf16 are exact in f32 and are added up one after the other: K
/// roundings of at most 2^-24 of all that is added, and one for `start`.
void check_product(Product& p, const std::vector<float>& y, double start) {
  const int cols = p.n_k * kTileK;
  for (int r = 0; r < p.n_rows; r++) {
    for (int c = 0; c < 2 * kBlockColumns; c++) {
      const auto& panel = p.panels[c / kBlockColumns];
      double want = start;
      double size = std::fabs(start);
      for (int k = 0; k < cols; k++) {
        const float x = stomp::bf16_to_f32(p.tiles.at(r, k));
        const float w =
            stomp::bf16_to_f32(panel[panel_at(c % kBlockColumns, k)]);
        want += double{x} * w;
        size += std::fabs(double{x} * w);
      }
      check_close(
          y[r * Product::kStride + c],
          want,
          (cols + 1) * 0x1p-24 * size,
          "product");
    }
  }
}

} // namespace

TEST("cpu kernels: tile products of 1 to 5 row tiles, added or not") {
  const TileKernels* kernels = tile_kernels();
  for (int rows : {1, 7, 16, 17, 33, 48, 80}) {
    if (!kernels) {
      return;
    }
    for (int n_k : {1, 2, 18, 19}) {
      Product p(rows, n_k, rows + n_k);
      const auto y = p.run(*kernels, n_k, 99, false);
      check_product(p, y, 0);
      check_product(p, p.run(*kernels, n_k, 3, true), 3);
      for (int r = 0; r < rows; r++) {
        for (size_t c = 2 * kBlockColumns; c < Product::kStride; c++) {
          CHECK_EQUAL(y[r * Product::kStride + c], 99.0f);
        }
      }
    }
  }
}

TEST("cpu kernels: tile products cut into panels of K are the same bits") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  Product p(33, 40, 4);
  const auto whole = p.run(*kernels, 40, 0, false);
  check_product(p, whole, 0);
  const auto rows = [&](const std::vector<float>& y) {
    return std::vector<float>(
        y.begin(), y.begin() + p.n_rows * Product::kStride);
  };
  for (int panel : {1, 7, 18}) {
    CHECK(same_bits(rows(p.run(*kernels, panel, 0, false)), rows(whole)));
  }
}

TEST("cpu kernels: a row of a tile product does not depend on the others") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  Product p(48, 5, 5);
  const auto together = p.run(*kernels, 5, 0, false);
  for (int r = 0; r < p.n_rows; r++) {
    // Alone, in another place, among rows that are no numbers.
    Product one(1, 5, 5);
    one.tiles = Tiles(48, 5 * kTileK);
    one.n_rows = 48;
    const int place = (r + 19) % 48;
    for (int k = 0; k < 5 * kTileK; k++) {
      one.tiles.at(place, k) = p.tiles.at(r, k);
    }
    one.panels[0] = p.panels[0];
    one.panels[1] = p.panels[1];
    const auto alone = one.run(*kernels, 5, 0, false);
    CHECK(std::equal(
        alone.begin() + place * Product::kStride,
        alone.begin() + place * Product::kStride + 2 * kBlockColumns,
        together.begin() + r * Product::kStride));
    CHECK(std::isnan(alone[(place + 1) % 48 * Product::kStride]));
  }
}

TEST("cpu kernels: tile products of what is no number are none, in that row") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  for (float bad : {kNan, kInf, -kInf}) {
    Product p(20, 3, 6);
    p.tiles.at(9, 50) = stomp::f32_to_bf16(bad);
    p.panels[1][panel_at(4, 10)] = stomp::f32_to_bf16(bad);
    const auto y = p.run(*kernels, 3, 0, false);
    for (int r = 0; r < 20; r++) {
      for (int c = 0; c < 2 * kBlockColumns; c++) {
        const bool spoilt = r == 9 || c == kBlockColumns + 4;
        CHECK_EQUAL(std::isfinite(y[r * Product::kStride + c]), !spoilt);
      }
    }
  }
}
