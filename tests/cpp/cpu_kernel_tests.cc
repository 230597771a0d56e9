// The kernels over single rows, of every table, against double precision on
// awkward shapes; and all tables against each other, to the bit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/half.h"
#include "kernel_weights.h"

using namespace kernel_checks;
using stomp::Activation;

// ---- choice ----

TEST("cpu kernels: the best table by default, each by name, others refused") {
  CHECK_EQUAL(
      std::string(choose_kernels("").isa),
      std::string(available_kernels().front()->isa));
  for (const Kernels* kernels : available_kernels()) {
    CHECK(&choose_kernels(kernels->isa) == kernels);
  }
  CHECK_EQUAL(
      std::string(available_kernels().back()->isa), std::string("portable"));
  CHECK_ERROR(choose_kernels("vax"), stomp::Code::kExecutorUnavailable);
}

TEST("cpu kernels: what the processor offers is used, and nothing else") {
  const auto there = [](const std::string& isa) {
    const auto& all = available_kernels();
    return std::any_of(all.begin(), all.end(), [&](const Kernels* kernels) {
      return kernels->isa == isa;
    });
  };
  const stomp::CpuFeatures& f = stomp::cpu_features();
  CHECK_EQUAL(there("amx"), f.amx);
  CHECK_EQUAL(there("avx512vnni"), f.avx512vnni);
  CHECK_EQUAL(there("avx2"), f.avx2);
  CHECK_EQUAL(there("neondot"), f.dotprod);
  for (const Kernels* kernels : available_kernels()) {
    const bool matrix = kernels->isa == std::string("amx");
    CHECK_EQUAL(kernels->tiles != nullptr, matrix);
  }
}

// ---- rows ----

TEST("cpu kernels: rms_norm") {
  for (int n : {1, 15, 16, 17, 50, 576, 1536}) {
    Random random(n);
    const auto x = random.vector(n, -3, 3);
    const auto w = random.vector(n, 0.5, 1.5);
    on_every_table([&](const Kernels& kernels) {
      std::vector<float> y(n);
      kernels.rms_norm(x.data(), w.data(), n, 1e-5f, y.data());
      double squares = 0;
      for (float v : x) {
        squares += double{v} * v;
      }
      const double scale = 1 / std::sqrt(squares / n + 1e-5);
      for (int i = 0; i < n; i++) {
        const double want = x[i] * scale * w[i];
        check_close(y[i], want, 2e-6 * std::fabs(want), "rms_norm");
      }
      return y;
    });
  }
}

TEST("cpu kernels: silu, its exponential within 4e-7 from -60 to 60") {
  std::vector<float> gate;
  for (int i = -60000; i <= 60000; i += 7) {
    gate.push_back(i / 1000.0f);
  }
  const int n = static_cast<int>(gate.size());
  const std::vector<float> ones(n, 1.0f);
  on_every_table([&](const Kernels& kernels) {
    std::vector<float> y(n);
    kernels.activate(Activation::kSilu, gate.data(), ones.data(), n, y.data());
    for (int i = 0; i < n; i++) {
      const double g = gate[i];
      const double want = g / (1 + std::exp(-g));
      check_close(y[i], want, 4e-7 * std::fabs(want), "silu");
    }
    return y;
  });
}

TEST("cpu kernels: silu at the ends") {
  const std::vector<float> gate = {
      -kInf, -1e30f, -200, -90, 0, 90, 200, 1e30f, kNan};
  const std::vector<float> up = {0, 2, 2, 2, 2, 2, 2, 2, 2};
  for (const Kernels* kernels : available_kernels()) {
    std::vector<float> y(gate.size());
    kernels->activate(
        Activation::kSilu,
        gate.data(),
        up.data(),
        static_cast<int>(gate.size()),
        y.data());
    check_close(y[1], 0, 1e-7, "silu far below 0");
    check_close(y[2], 0, 1e-30, "silu below 0");
    check_close(y[3], 0, 1e-30, "silu below 0");
    CHECK_EQUAL(y[4], 0.0f);
    CHECK_EQUAL(y[5], 180.0f);
    CHECK_EQUAL(y[6], 400.0f);
    CHECK_EQUAL(y[7], 2e30f);
    CHECK(std::isnan(y[8]));
  }
}

/// In double precision, by the formulas that the models' papers give.
double activated(Activation activation, double gate, double up) {
  if (activation == Activation::kGeluTanh) {
    const double inner = std::sqrt(2 / std::numbers::pi) *
        (gate + 0.044715 * gate * gate * gate);
    return 0.5 * gate * (1 + std::tanh(inner)) * up;
  }
  const double g = std::min(gate, 7.0);
  const double u = std::clamp(up, -7.0, 7.0);
  return g / (1 + std::exp(-1.702 * g)) * (u + 1);
}

TEST("cpu kernels: gelu and the clamped SwiGLU, on both sides of their ends") {
  Random random(3);
  auto gate = random.vector(3001, -9, 9);
  auto up = random.vector(3001, -9, 9);
  gate[0] = 200;
  gate[1] = -200;
  gate[2] = 0;
  const int n = static_cast<int>(gate.size());
  for (const Activation activation :
       {Activation::kGeluTanh, Activation::kClampedSwiglu}) {
    on_every_table([&](const Kernels& kernels) {
      std::vector<float> y(n);
      kernels.activate(activation, gate.data(), up.data(), n, y.data());
      for (int i = 0; i < n; i++) {
        const double want = activated(activation, gate[i], up[i]);
        // Far out the argument of the exponential is rounded: 1e-7 of 100.
        check_close(y[i], want, 2e-5 * std::fabs(want) + 1e-12, "activated");
      }
      return y;
    });
  }
}

TEST("cpu kernels: an activation of what is no number is none") {
  const std::vector<float> numbers = {1, kNan, 1};
  const std::vector<float> others = {kNan, 1, 1};
  for (const Activation activation :
       {Activation::kSilu, Activation::kGeluTanh, Activation::kClampedSwiglu}) {
    on_every_table([&](const Kernels& kernels) {
      std::vector<float> y(3);
      kernels.activate(activation, numbers.data(), others.data(), 3, y.data());
      CHECK(std::isnan(y[0]) && std::isnan(y[1]) && std::isfinite(y[2]));
      return std::vector<float>{y[2]};
    });
  }
}

TEST("cpu kernels: activations are quantised to within half a step") {
  const int cols = 576;
  Random random(1);
  auto x = random.vector(cols, -1, 1);
  for (int i = 0; i < kGroup; i++) {
    x[32 + i] = 0; // a group of zeros
    x[64 + i] *= 1e-20f;
    x[96 + i] *= 1e20f;
    x[128 + i] = i % 2 ? 1e-38f : -1e-40f; // as good as zero
    x[160 + i] = i % 2 ? 3.4e38f : -3.4e38f;
    x[192 + i] = static_cast<float>(i) - 16; // its largest is negative
  }
  on_every_table([&](const Kernels& kernels) {
    const Quantised q(kernels, x, cols);
    std::vector<float> all;
    for (int k = 0; k < cols; k++) {
      const double scale = q.scale(0, k);
      CHECK(std::abs(q.code(0, k)) <= 127);
      // x times the rounded inverse of the scale is off by two roundings of a
      // number up to 127: 127 * 2^-23 of a step, next to the half.
      check_close(
          scale * q.code(0, k), x[k], 0.50002 * scale + 1e-30, "quantised");
      all.push_back(static_cast<float>(q.code(0, k)));
    }
    for (int k = 0; k < cols; k += kGroup) {
      int sum = 0;
      int top = 0;
      for (int i = k; i < k + kGroup; i++) {
        sum += q.code(0, i);
        top = std::max(top, std::abs(q.code(0, i)));
      }
      CHECK_EQUAL(q.sum(0, k), q.scale(0, k) * static_cast<float>(sum));
      // All of the range is used: half a step could not be smaller.
      CHECK_EQUAL(top, q.scale(0, k) == 0 ? 0 : 127);
      all.push_back(q.scale(0, k));
      all.push_back(q.sum(0, k));
    }
    return all;
  });
}

TEST("cpu kernels: rows of a group lie side by side, and touch no other") {
  const int cols = 96;
  Random random(2);
  for (const Kernels* kernels : available_kernels()) {
    const auto x = random.vector(size_t{5} * cols, -1, 1);
    const Quantised together(*kernels, x, cols);
    for (int r = 0; r < 5; r++) {
      const auto* from = x.data() + r * cols;
      const Quantised alone(*kernels, {from, from + cols}, cols);
      for (int k = 0; k < cols; k++) {
        CHECK_EQUAL(together.code(r, k), alone.code(0, k));
        CHECK_EQUAL(together.scale(r, k), alone.scale(0, k));
        CHECK_EQUAL(together.sum(r, k), alone.sum(0, k));
      }
    }
    CHECK_EQUAL(together.code(5, 0), 77);
    CHECK(std::isnan(together.scale(5, 0)));
  }
}

TEST("cpu kernels: a NaN or infinity survives quantisation as no number") {
  for (const Kernels* kernels : available_kernels()) {
    for (float bad : {kNan, -kNan, kInf, -kInf}) {
      for (int at : {32, 47, 63}) {
        std::vector<float> x(96, 1.0f);
        x[at] = bad;
        const Quantised q(*kernels, x, 96);
        CHECK(std::isfinite(q.scale(0, 0)));
        CHECK(!std::isfinite(q.scale(0, 32)));
        CHECK(std::isfinite(q.scale(0, 64)));
      }
    }
  }
}

namespace {

/// One head's turns, and which elements turn together.
struct Turns {
  Turns(int dim, bool interleaved, Random& random)
      : cosines(dim), sines(dim), partner(dim) {
    for (int i = 0; i < dim / 2; i++) {
      const int a = interleaved ? 2 * i : i;
      const int b = interleaved ? 2 * i + 1 : i + dim / 2;
      const float angle = random(-4, 4);
      cosines[a] = cosines[b] = std::cos(angle);
      sines[b] = std::sin(angle);
      sines[a] = -sines[b];
      partner[a] = b;
      partner[b] = a;
    }
    turns = {cosines.data(), sines.data(), dim, interleaved};
  }

  std::vector<float> cosines, sines;
  std::vector<int> partner;
  RopeTurns turns;
};

} // namespace

TEST("cpu kernels: rotate, neighbours and halves, in odd head sizes") {
  for (int dim : {2, 4, 6, 10, 16, 30, 34, 48, 64, 80, 100, 128, 256}) {
    for (bool interleaved : {false, true}) {
      Random random(dim);
      const Turns t(dim, interleaved, random);
      const auto x = random.vector(dim, -3, 3);
      for (float scale : {1.0f, 0.125f, 0.1f}) {
        on_every_table([&](const Kernels& kernels) {
          std::vector<float> y = x;
          y.push_back(99);
          kernels.rotate(y.data(), t.turns, scale);
          for (int d = 0; d < dim; d++) {
            const double own = double{x[d]} * t.cosines[d];
            const double other = double{x[t.partner[d]]} * t.sines[d];
            // Three roundings: of the product, the fused sum, the scaling.
            check_close(
                y[d],
                (own + other) * scale,
                3 * 0x1p-24 * (std::fabs(own) + std::fabs(other)) * scale,
                "rotate");
          }
          CHECK_EQUAL(y[dim], 99.0f);
          return y;
        });
      }
    }
  }
}

TEST("cpu kernels: f16 is rounded as base/half.h rounds") {
  std::vector<float> x = {0.0f, -0.0f, 65504.0f, 65519.9f, 65520.0f, 1e30f};
  for (int e = -30; e <= 17; e++) {
    for (float m : {1.0f, 1.00048828125f, 1.0009765625f, 1.4997f, 1.99999f}) {
      x.push_back(std::ldexp(m, e));
      x.push_back(-std::ldexp(m, e));
    }
  }
  for (const Kernels* kernels : available_kernels()) {
    std::vector<uint16_t> y(x.size());
    kernels->to_f16(x.data(), static_cast<int>(x.size()), y.data());
    for (size_t i = 0; i < x.size(); i++) {
      CHECK_EQUAL(y[i], stomp::f32_to_f16(x[i]));
    }
  }
}

TEST("cpu kernels: arg_max takes the lowest id on ties") {
  for (const Kernels* kernels : available_kernels()) {
    for (int n : {1, 5, 16, 17, 100, 49152}) {
      Random random(n);
      auto x = random.vector(n, -5, 5);
      for (int at : {0, n / 3, n - 1}) {
        auto y = x;
        y[at] = 7;
        y[n - 1] = 7;
        const ArgMax best = kernels->arg_max(y.data(), n);
        CHECK_EQUAL(best.index, at);
        CHECK_EQUAL(best.value, 7.0f);
      }
      std::fill(x.begin(), x.end(), -kInf);
      x[n / 2] = -1e30f;
      CHECK_EQUAL(kernels->arg_max(x.data(), n).index, n / 2);
    }
  }
}

TEST("cpu kernels: arg_max refuses what is not a number") {
  for (const Kernels* kernels : available_kernels()) {
    for (int n : {16, 21, 160}) {
      for (int at : {0, n / 2, n - 1}) {
        for (float bad : {kNan, kInf}) {
          std::vector<float> x(n, 1.0f);
          x[at] = bad;
          CHECK_EQUAL(kernels->arg_max(x.data(), n).index, -1);
        }
      }
      const std::vector<float> nothing(n, -kInf);
      CHECK_EQUAL(kernels->arg_max(nothing.data(), n).index, -1);
    }
  }
}
