// The CPU executor's logits are right: against a forward pass in double
// precision, for every format, in every role, with either numerics.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cpu_rig.h"

using namespace cpu_rig;
using reference::Shape;

namespace {

// Errors of logits of about one, against double: the largest, and the root
// mean square.
struct Tolerance {
  double largest;
  double typical;
};
// Dense weights meet f32 activations: K and V rounded to f16 are nearly all of
// the error. Measured: 2.2e-3 and 4.6e-4.
constexpr Tolerance kDense = {4.5e-3, 8e-4};
// Activations as int8, 127 steps to the largest of 32: when that is 2.1
// standard deviations, as among 32 normal values, rounding has a deviation of
// 2.1 / 127 / sqrt(12) = 0.0048 of a row's size. Nine linears one behind the
// other, in two layers and the head, make 0.0048 * sqrt(9) = 0.014 of it; the
// largest of 10^4 values lies 4 to 6 times higher. Measured: 0.11 and 0.021.
constexpr Tolerance kCodes = {0.2, 0.035};
// Activations and weights as bf16, whose steps are 2^-8 to 2^-7 of a value:
// rounding has a deviation of 2^-7.5 / sqrt(12) = 0.0016, twice in each
// linear, and q, K, V and the weights of attention are rounded as well; the
// head is int8 or, for dense weights, f32: 0.0016 * sqrt(25) = 0.008.
// Measured: 0.064 and 0.012.
constexpr Tolerance kTiles = {0.11, 0.02};
// Dense answers over a cache of such a prompt. Measured: 0.027 and 0.0058.
constexpr Tolerance kDenseAnswers = {0.05, 0.011};

std::vector<double> flat(const std::vector<std::vector<double>>& rows) {
  std::vector<double> all;
  for (const std::vector<double>& row : rows) {
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

/// Of a prompt's logits, or of answers'.
void check_logits(
    const Logits& got,
    const std::vector<double>& want,
    Tolerance tolerance,
    const std::string& which) {
  const double largest = reference::max_difference(got, want);
  double squares = 0;
  for (size_t i = 0; i < got.size(); i++) {
    squares += (got[i] - want[i]) * (got[i] - want[i]);
  }
  const double typical = std::sqrt(squares / got.size());
  if (!(largest < tolerance.largest && typical < tolerance.typical)) {
    check::fail(
        __FILE__,
        __LINE__,
        which + ": logits differ by up to " + std::to_string(largest) +
            ", typically by " + std::to_string(typical));
  }
}

/// The shape with a seed whose tokens leave no doubt which experts they want.
Shape clear_choices(Shape shape, int n) {
  // Above what rounding does to scores of about one.
  constexpr double kClear = 0.06;
  const auto closest = [&] {
    const auto model = reference::random_model(shape);
    const auto tokens = tokens_of(*model, n, shape.seed);
    return reference::closest_choice(*model, tokens);
  };
  for (int tries = 0; tries < 1000 && closest() < kClear; tries++) {
    shape.seed++;
  }
  CHECK(closest() >= kClear);
  return shape;
}

/// With both numerics: as a prompt, and as answers to its first half.
void check_against_reference(
    const Shape& shape,
    int n,
    const std::string& isa = "") {
  const auto model = reference::random_model(shape);
  const auto tokens = tokens_of(*model, n, shape.seed);
  const auto want = flat(reference::logits(*model, tokens));
  const std::vector<double> later(
      want.begin() + n / 2 * model->config.vocab_size, want.end());
  const bool quantised = model->weights.head.quantised();
  for (bool exact : {true, false}) {
    RigOptions options;
    options.isa = isa;
    options.exact = exact;
    Rig rig(model, options);
    const bool tiles = rig.executor->info().numerics == kTileNumerics;
    const Tolerance codes = quantised ? kCodes : kDense;
    BlockTable table;
    check_logits(
        rig.feed(table, tokens, 256),
        want,
        tiles ? kTiles : codes,
        exact ? "exact" : "fast");
    table.n_tokens = n / 2;
    check_logits(
        rig.answers(table, std::span(tokens).subspan(n / 2)),
        later,
        tiles && !quantised ? kDenseAnswers : codes,
        exact ? "exact answers" : "fast answers");
  }
}

} // namespace

TEST("cpu executor: dense models agree with double precision") {
  for (const char* isa : {"", "portable"}) {
    for (WeightFormat format :
         {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16}) {
      check_against_reference(small(format), 70, isa);
    }
  }
}

TEST(
    "cpu executor: odd shapes, both ropes, one KV head a query head or three") {
  Shape shape;
  shape.n_heads = 3;
  shape.n_kv_heads = 3;
  shape.head_dim = 48;
  shape.d_model = 100;
  shape.d_ff = 150;
  shape.vocab_size = 77;
  shape.interleaved = false;
  check_against_reference(shape, 80);
  shape.n_kv_heads = 1;
  shape.head_dim = 10;
  shape.interleaved = true;
  shape.tied = true;
  check_against_reference(shape, 80);
  shape.n_heads = 1;
  shape.head_dim = 64;
  check_against_reference(shape, 80);
}

TEST("cpu executor: biases of q, k and v, and norms of their heads") {
  for (const WeightFormat format : {WeightFormat::kF16, WeightFormat::kQ8_0}) {
    Shape shape = small(format);
    shape.interleaved = false;
    shape.qkv_bias = true;
    check_against_reference(shape, 80);
    shape.qkv_bias = false;
    shape.qk_norm = true;
    shape.rope_scale = 1.1f;
    check_against_reference(shape, 80);
  }
}

/// With all that sets Gemma 3 apart, and the sinks of others.
Shape windowed(WeightFormat format) {
  Shape shape = small(format);
  shape.n_layers = 3;
  shape.interleaved = false;
  shape.qk_norm = true;
  shape.post_norms = true;
  shape.activation = stomp::Activation::kGeluTanh;
  shape.embedding_scale = 3;
  shape.attention_scale = 0.25f;
  shape.window = 20;
  shape.local_rope = true;
  return shape;
}

TEST("cpu executor: sliding windows, post-norms, gelu, two ropes") {
  for (const WeightFormat format : {WeightFormat::kF16, WeightFormat::kQ8_0}) {
    check_against_reference(windowed(format), 90);
  }
}

TEST("cpu executor: sinks, beside windows and alone") {
  for (const WeightFormat format : {WeightFormat::kF16, WeightFormat::kQ8_0}) {
    Shape shape = small(format);
    shape.sinks = true;
    shape.activation = stomp::Activation::kClampedSwiglu;
    check_against_reference(shape, 300);
    shape.window = 70;
    check_against_reference(shape, 300);
    shape.n_heads = 3;
    shape.n_kv_heads = 1;
    shape.head_dim = format == WeightFormat::kF16 ? 10 : 32;
    check_against_reference(shape, 80);
  }
}

TEST("cpu executor: experts, all of them chosen") {
  for (const WeightFormat format :
       {WeightFormat::kF16,
        WeightFormat::kQ8_0,
        WeightFormat::kAffine,
        WeightFormat::kMxfp4,
        WeightFormat::kMxfp4Blocks}) {
    Shape shape = mixture_shape(format);
    shape.n_layers = 2;
    shape.n_experts = 3;
    shape.n_chosen = 3;
    check_against_reference(shape, 80);
  }
}

TEST("cpu executor: experts, some of them chosen, their weights either way") {
  for (const bool normalised : {true, false}) {
    for (const WeightFormat format :
         {WeightFormat::kBF16, WeightFormat::kQ8_0}) {
      Shape shape = small(format);
      shape.n_experts = 5;
      shape.n_chosen = 2;
      shape.normalised = normalised;
      check_against_reference(clear_choices(shape, 10), 10);
    }
  }
}

TEST("cpu executor: experts of a size that fills no block or tile") {
  Shape shape = small(WeightFormat::kF32);
  shape.d_model = 100;
  shape.d_ff = 50;
  shape.n_experts = 3;
  shape.n_chosen = 3;
  check_against_reference(shape, 40);
}

TEST("cpu executor: long context, past several spans") {
  Shape shape;
  shape.n_heads = 3;
  shape.n_kv_heads = 1;
  shape.head_dim = 16;
  shape.d_model = 32;
  shape.d_ff = 32;
  shape.vocab_size = 40;
  shape.max_context = 1024;
  check_against_reference(shape, 700);
}

TEST("cpu executor: rows longer than the matrix units take at once") {
  // More rows, too, than are gated together.
  check_against_reference(wide_shape(WeightFormat::kQ4_0), 150);
  check_against_reference(wide_shape(WeightFormat::kF16), 20);
}

TEST("cpu executor: every quantised format agrees with double precision") {
  for (WeightFormat format :
       {WeightFormat::kQ4_0,
        WeightFormat::kQ4_1,
        WeightFormat::kQ8_0,
        WeightFormat::kMxfp4,
        WeightFormat::kMxfp4Blocks}) {
    check_against_reference(small(format), 40);
  }
  Shape shape = small(WeightFormat::kAffine);
  for (int bits : {2, 3, 4, 5, 6, 8}) {
    for (int group : {32, 64, 128}) {
      for (WeightFormat scales : {WeightFormat::kF16, WeightFormat::kBF16}) {
        shape.bits = bits;
        shape.group = group;
        shape.d_ff = 256;
        shape.scale_format = scales;
        check_against_reference(shape, 20);
      }
    }
  }
}
