// The CPU executor's promises: right against double precision, and what it
// does with steps, tickets, blocks and bad numbers.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/half.h"
#include "cpu_rig.h"
#include "exec/cpu/kernel_choice.h"

using namespace cpu_rig;
using reference::Shape;

namespace {

const std::string kExactNumerics = "cpu-int8-v1-kv-f16";
const std::string kTileNumerics = "cpu-int8-bf16-v1-kv-f16";

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

// ---- right ----

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
       {WeightFormat::kQ4_0, WeightFormat::kQ4_1, WeightFormat::kQ8_0}) {
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

TEST("cpu executor: the token is the arg max of the logits it returns") {
  const auto model = grouped_model();
  Rig rig(model);
  BlockTable table;
  const auto tokens = tokens_of(*model, 30, 2);
  const StepResult result =
      rig.run({{rig.slice(table, tokens, Output::kLogits)}});
  const auto row = result.logits[0];
  CHECK_EQUAL(row.size(), static_cast<size_t>(rig.vocab()));
  CHECK_EQUAL(
      result.tokens[0],
      static_cast<int32_t>(
          std::max_element(row.begin(), row.end()) - row.begin()));
}

TEST("cpu executor: a slice gets the output it asks for and no other") {
  const auto model = grouped_model();
  Rig rig(model);
  const auto tokens = tokens_of(*model, 9, 3);
  const Logits whole = rig.feed(tokens);
  std::vector<BlockTable> tables(4);
  Step step;
  for (size_t i = 0; i < 4; i++) {
    step.slices.push_back(rig.slice(tables[i], tokens, static_cast<Output>(i)));
  }
  const StepResult result = rig.run(step);
  const auto last = std::span(whole).last(rig.vocab());
  CHECK_EQUAL(result.tokens[0], -1);
  CHECK(result.logits[0].empty());
  CHECK(result.tokens[1] >= 0);
  CHECK(result.logits[1].empty());
  CHECK_EQUAL(result.tokens[2], result.tokens[1]);
  CHECK(same_bits(result.logits[2], last));
  CHECK_EQUAL(result.tokens[3], result.tokens[1]);
  CHECK(same_bits(result.logits[3], whole));
}

TEST("cpu executor: lends its threads between steps") {
  const auto model = grouped_model();
  Rig rig(model);
  for (const int n : {0, 1, 2, 37}) {
    std::vector<int> calls(n, 0);
    rig.executor->parallel(n, [&calls](int i) { calls[i]++; });
    CHECK(std::ranges::all_of(calls, [](int count) { return count == 1; }));
  }
}

// ---- blocks ----

TEST("cpu executor: the neutral layout is K, then V, token by token") {
  // With one layer K and V are known: rope of nothing but position 0.
  Shape shape = small();
  shape.n_layers = 1;
  const auto model = reference::random_model(shape);
  const ModelConfig& c = model->config;
  // RMS norm and projection of the embedding, in double.
  const auto x = reference::decode_row(model->weights.embedding, 5);
  double squares = 0;
  for (double v : x) {
    squares += v * v;
  }
  const double scale = 1 / std::sqrt(squares / c.d_model + c.rms_eps);
  const auto projected = [&](const WeightMatrix& w, int row) {
    const auto weights = reference::decode_row(w, row);
    double sum = 0;
    for (int i = 0; i < c.d_model; i++) {
      sum += weights[i] * x[i] * scale *
          model->weights.layers[0].attention_norm[i];
    }
    return sum;
  };
  for (bool exact : {true, false}) {
    RigOptions options;
    options.exact = exact;
    Rig rig(model, options);
    BlockTable table;
    const std::vector<int32_t> token = {5};
    rig.feed(table, token, 1);
    std::vector<std::byte> bytes(rig.spec.token_layer_bytes());
    rig.executor->read_block(0, table.blocks[0][0], 1, bytes);
    std::vector<uint16_t> halves(bytes.size() / 2);
    std::memcpy(halves.data(), bytes.data(), bytes.size());
    // Values of up to 3, as f16; or sums of 128 products of two bf16 each,
    // 0.0023 of about 1 off (see above), the largest of 128 three times that.
    const double off = exact ? 2e-3 : 8e-3;
    for (int i = 0; i < c.kv_dim(); i++) {
      const LayerWeights& w = model->weights.layers[0];
      const float k = f16_to_f32(halves[i]);
      const float v = f16_to_f32(halves[c.kv_dim() + i]);
      CHECK(std::fabs(k - projected(w.k, i)) < off);
      CHECK(std::fabs(v - projected(w.v, i)) < off);
    }
  }
}

TEST(
    "cpu executor: blocks that are not there, or of another size, are "
    "refused") {
  const auto model = reference::random_model(small());
  Rig rig(model);
  const size_t token = 2 * rig.spec.token_layer_bytes();
  std::vector<std::byte> bytes(token);
  CHECK_THROWS(rig.executor->read_block(0, -1, 1, bytes), std::logic_error);
  CHECK_THROWS(
      rig.executor->read_block(0, 16384 / 64, 1, bytes), std::logic_error);
  CHECK_THROWS(rig.executor->read_block(1, 0, 1, bytes), std::logic_error);
  CHECK_THROWS(rig.executor->read_block(0, 0, 2, bytes), std::logic_error);
  CHECK_THROWS(rig.executor->write_block(0, 0, 65, bytes), std::logic_error);
}

// ---- steps and tickets ----

TEST("cpu executor: a step may go on from a token not yet collected") {
  const auto model = grouped_model();
  Rig rig(model);
  const auto tokens = tokens_of(*model, 12, 12);
  // One step after the other.
  std::vector<int32_t> slowly;
  BlockTable a;
  StepResult result = rig.run({{rig.slice(a, tokens, Output::kToken)}});
  a.n_tokens += 12;
  for (int i = 0; i < 6; i++) {
    slowly.push_back(result.tokens[0]);
    result = rig.run({{rig.answer(a, std::span(&slowly.back(), 1))}});
    a.n_tokens++;
  }
  // Each submitted before the one before it is collected, in a slot that
  // moves about.
  BlockTable b;
  std::vector<int32_t> ahead;
  Ticket before =
      rig.executor->submit({{rig.slice(b, tokens, Output::kToken)}});
  b.n_tokens += 12;
  int slot = 0;
  for (int i = 0; i < 6; i++) {
    rig.grow(b, b.n_tokens + 1);
    BlockTable other;
    Slice next;
    next.source = {before, slot};
    next.position = b.n_tokens;
    next.table = &b;
    next.decode = true;
    next.output = Output::kToken;
    Step step{{rig.slice(other, tokens, Output::kNone), next}};
    const Ticket ticket = rig.executor->submit(step);
    ahead.push_back(rig.executor->collect(before).tokens[slot]);
    before = ticket;
    slot = 1;
    b.n_tokens++;
  }
  CHECK(ahead == slowly);
}

TEST("cpu executor: logits of a step outlive the steps submitted after it") {
  const auto model = grouped_model();
  Rig rig(model);
  const auto tokens = tokens_of(*model, 12, 13);
  const Logits whole = rig.feed(tokens, 12);
  const auto expected = std::span(whole).last(rig.vocab());
  const auto expected_short =
      std::span(whole).subspan(size_t{4} * rig.vocab(), rig.vocab());
  BlockTable a, b;
  const Ticket first =
      rig.executor->submit({{rig.slice(a, tokens, Output::kLogits)}});
  const Ticket second = rig.executor->submit(
      {{rig.slice(b, std::span(tokens).first(5), Output::kLogits)}});
  const StepResult one = rig.executor->collect(first);
  CHECK(same_bits(one.logits[0], expected));
  const StepResult two = rig.executor->collect(second);
  CHECK(same_bits(two.logits[0], expected_short));
}

TEST("cpu executor: tickets out of order, or steps too large, are bugs") {
  const auto model = reference::random_model(small());
  RigOptions options;
  options.max_step_tokens = 8;
  Rig rig(model, options);
  const auto tokens = tokens_of(*model, 9, 14);
  BlockTable table;
  CHECK_THROWS(
      rig.run({{rig.slice(table, tokens, Output::kNone)}}), std::logic_error);
  const Ticket one = rig.executor->submit(
      {{rig.slice(table, std::span(tokens).first(8), Output::kToken)}});
  CHECK_THROWS(rig.executor->collect(one + 1), std::logic_error);
  rig.executor->collect(one);
  CHECK_THROWS(rig.executor->collect(one), std::logic_error);
}

TEST("cpu executor: logits that are no numbers fail the step, and only it") {
  Shape shape = small();
  auto model = std::make_shared<Model>(*reference::random_model(shape));
  // One token's embedding is poisoned.
  const WeightMatrix& table = model->weights.embedding;
  std::vector<float> poisoned(size_t(table.rows) * table.cols);
  std::memcpy(poisoned.data(), table.data, poisoned.size() * sizeof(float));
  poisoned[size_t(9) * table.cols + 3] =
      std::numeric_limits<float>::quiet_NaN();
  model->weights.embedding.data =
      reinterpret_cast<const std::byte*>(poisoned.data());
  Rig rig(model);
  const std::vector<int32_t> good = {1, 2, 3};
  const std::vector<int32_t> bad = {1, 9, 3};
  BlockTable a, b;
  CHECK_ERROR(
      rig.run(
          {{rig.slice(a, good, Output::kToken),
            rig.slice(b, bad, Output::kToken)}}),
      Code::kGenerationFailed);
  CHECK(!rig.feed(good).empty());
  // Nor can anything go on from it.
  BlockTable c;
  const Ticket failed =
      rig.executor->submit({{rig.slice(c, bad, Output::kToken)}});
  Slice next;
  next.source = {failed, 0};
  next.position = 3;
  next.table = &c;
  next.output = Output::kToken;
  CHECK_ERROR(rig.executor->submit({{next}}), Code::kGenerationFailed);
  CHECK_ERROR(rig.executor->collect(failed), Code::kGenerationFailed);
}

TEST("cpu executor: says what runs and what it holds") {
  const auto model = reference::random_model(small(WeightFormat::kQ4_0));
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    for (bool exact : {true, false}) {
      RigOptions options;
      options.isa = kernels->isa;
      options.exact = exact;
      const ExecutorInfo info = Rig(model, options).executor->info();
      CHECK_EQUAL(info.name, std::string("cpu"));
      CHECK_EQUAL(info.isa, std::string(kernels->isa));
      CHECK_EQUAL(
          info.numerics,
          kernels->tiles && !exact ? kTileNumerics : kExactNumerics);
      CHECK_EQUAL(info.element_bytes, 2);
    }
  }
  Rig rig(model);
  rig.feed(tokens_of(*model, 20, 15));
  const ExecutorMemory memory = rig.executor->memory();
  CHECK_EQUAL(memory.pool_bytes, 16384 / 64 * rig.spec.block_bytes(0));
  CHECK(memory.weights_bytes > 0 && memory.scratch_bytes > 0);
  setenv("STOMP_CPU_ISA", "z80", 1);
  CHECK_ERROR(make_cpu_executor({}), Code::kExecutorUnavailable);
  unsetenv("STOMP_CPU_ISA");
}

TEST("cpu executor: a cache it cannot keep is refused") {
  const auto model = reference::random_model(small());
  auto executor = make_cpu_executor({});
  executor->load(model, [](double) {});
  auto spec = make_cache_spec(model->config, 64, 4);
  CHECK_ERROR(executor->allocate_pool(spec, {4}), Code::kInvalidRequest);
}

#ifdef __linux__
TEST("cpu executor: a pool of 4 GB costs no memory until it is used") {
  const auto resident = [] {
    std::ifstream in("/proc/self/statm");
    size_t pages = 0;
    in >> pages >> pages;
    return pages * 4096;
  };
  const auto model = reference::random_model(small());
  auto executor = make_cpu_executor({});
  executor->load(model, [](double) {});
  const auto spec = make_cache_spec(model->config, 64, 2);
  const size_t before = resident();
  executor->allocate_pool(
      spec, {static_cast<int>((size_t{4} << 30) / spec.block_bytes(0))});
  CHECK(executor->memory().pool_bytes > size_t{4} << 30 >> 1);
  CHECK(resident() < before + (size_t{16} << 20));
}
#endif
