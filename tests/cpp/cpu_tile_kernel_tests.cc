// What the matrix units' kernels round to bf16, against double precision.
//
// bf16 has 8 significant bits: rounding is off by half a step, which is between
// 2^-9 and 2^-8 of the value. It is compared bit by bit with base/half.h, too.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/half.h"
#include "kernel_weights.h"

using namespace kernel_checks;
using stomp::Activation;

namespace {

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
      kernels->round_gated(Activation::kSilu, x.data(), n, tiles.rows(), first);
      for (int r = 0; r < n; r++) {
        const float* row = x.data() + r * 2 * kBlockColumns;
        for (int c = 0; c < kBlockColumns; c++) {
          const double gate = row[c];
          const double want =
              gate / (1 + std::exp(-gate)) * row[kBlockColumns + c];
          // silu as the vector units': 4e-7, see the test of silu.
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

TEST("cpu kernels: round_gated knows the vector units' activations") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  Random random(4);
  const auto x = random.vector(size_t(5) * 2 * kBlockColumns, -9, 9);
  for (const Activation activation :
       {Activation::kGeluTanh, Activation::kClampedSwiglu}) {
    Tiles tiles(5, kTileK);
    kernels->round_gated(activation, x.data(), 5, tiles.rows(), 0);
    for (int r = 0; r < 5; r++) {
      const float* row = x.data() + r * 2 * kBlockColumns;
      std::vector<float> want(kBlockColumns);
      available_kernels()[0]->activate(
          activation, row, row + kBlockColumns, kBlockColumns, want.data());
      for (int c = 0; c < kBlockColumns; c++) {
        check_rounded(tiles.at(r, c), want[c], 0, "gated");
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
  kernels->round_gated(Activation::kSilu, x.data(), 1, tiles.rows(), 0);
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

TEST("cpu kernels: codes of E2M1 are widened, without loss") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  QuantisedWeights w(e2m1_layout(128), 4, 1);
  std::fill(w.scales.begin(), w.scales.end(), 0.25f);
  std::fill(w.biases.begin(), w.biases.end(), -3.0f);
  std::vector<uint16_t> panel(4 * kTileElements);
  kernels->widen_quantised(w.layout, w.pack().data(), 0, 4, panel.data());
  for (int c = 0; c < kBlockColumns; c++) {
    for (int k = 0; k < w.layout.cols; k++) {
      CHECK_EQUAL(
          double{stomp::bf16_to_f32(panel[panel_at(c, k)])}, w.weight(c, k));
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
