// The CPU executor's promises: what it does with steps, tickets, blocks and bad
// numbers.
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
    // Values of up to 3, as f16; or sums of products of two bf16 each, whose
    // rounding is 0.0023 of about 1 off, the largest of 128 three times that.
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
      CHECK_EQUAL(info.kv.element_bytes, 2);
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
  auto spec = make_cache_spec(model->config, 64, {4});
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
  const auto spec = make_cache_spec(model->config, 64, {2});
  const size_t before = resident();
  executor->allocate_pool(
      spec, {static_cast<int>((size_t{4} << 30) / spec.block_bytes(0))});
  CHECK(executor->memory().pool_bytes > size_t{4} << 30 >> 1);
  CHECK(resident() < before + (size_t{16} << 20));
}
#endif
