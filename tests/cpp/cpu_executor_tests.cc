// The CPU executor's promises: right against double precision, and the same to
// the bit however a sequence is cut, batched, threaded, paged or moved.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <numeric>
#include <random>
#include <string>

#include "base/error.h"
#include "base/half.h"
#include "cache/cache_spec.h"
#include "check.h"
#include "exec/cpu/kernel_choice.h"
#include "exec/executor.h"
#include "reference_llama.h"

using reference::Shape;

namespace {

// Errors of logits of about one, against double: the largest, and the root
// mean square.
struct Tolerance {
  double largest;
  double typical;
};
// f32 arithmetic; K and V rounded to f16, which is nearly all of it.
constexpr Tolerance kDense = {5e-3, 8e-4};
// int8 activations: each linear errs by about 0.5 % of its output.
constexpr Tolerance kQuantised = {0.2, 0.04};

using Logits = std::vector<float>; // rows of the vocabulary

struct RigOptions {
  int threads = 2;
  int block_tokens = 64;
  int window = 0; // tokens; 0: global attention
  int max_step_tokens = 576;
  std::string isa; // empty: the best
};

/// An executor with a pool and a sequence's tables, grown on demand.
class Rig {
 public:
  explicit Rig(std::shared_ptr<const Model> model, RigOptions options = {})
      : model_(std::move(model)) {
    ExecutorOptions o;
    o.threads = options.threads;
    o.max_step_tokens = options.max_step_tokens;
    setenv("STOMP_CPU_ISA", options.isa.c_str(), 1);
    executor = make_cpu_executor(o);
    unsetenv("STOMP_CPU_ISA");
    executor->load(model_, [](double) {});
    spec = make_cache_spec(
        model_->config, options.block_tokens, executor->info().element_bytes);
    if (options.window) {
      spec.groups[0].kind = AttentionKind::kSliding;
      spec.groups[0].window = options.window;
    }
    const int blocks = 16384 / options.block_tokens;
    executor->allocate_pool(spec, {blocks});
    // Out of order, as blocks of a pool in use are.
    free_.resize(blocks);
    std::iota(free_.begin(), free_.end(), 0);
    std::shuffle(free_.begin(), free_.end(), std::mt19937(7));
  }

  int vocab() const { return model_->config.vocab_size; }

  void grow(BlockTable& table, int n_tokens) {
    table.blocks.resize(1);
    while (static_cast<int>(table.blocks[0].size()) * spec.block_tokens <
           n_tokens) {
      table.blocks[0].push_back(free_.back());
      free_.pop_back();
    }
  }

  Slice
  slice(BlockTable& table, std::span<const int32_t> tokens, Output output) {
    grow(table, table.n_tokens + static_cast<int>(tokens.size()));
    Slice s;
    s.tokens = tokens;
    s.position = table.n_tokens;
    s.table = &table;
    s.output = output;
    return s;
  }

  StepResult run(const Step& step) {
    return executor->collect(executor->submit(step));
  }

  /// Logits of every token, fed in chunks.
  Logits feed(BlockTable& table, std::span<const int32_t> tokens, int chunk) {
    Logits all;
    for (size_t i = 0; i < tokens.size(); i += chunk) {
      const auto part =
          tokens.subspan(i, std::min<size_t>(chunk, tokens.size() - i));
      const StepResult result = run({{slice(table, part, Output::kAllLogits)}});
      table.n_tokens += static_cast<int>(part.size());
      CHECK_EQUAL(result.logits[0].size(), part.size() * vocab());
      all.insert(all.end(), result.logits[0].begin(), result.logits[0].end());
    }
    return all;
  }

  Logits feed(std::span<const int32_t> tokens, int chunk = 256) {
    BlockTable table;
    return feed(table, tokens, chunk);
  }

  std::unique_ptr<Executor> executor;
  ModelCacheSpec spec;

 private:
  std::shared_ptr<const Model> model_;
  std::vector<BlockId> free_;
};

std::vector<double> flat(const std::vector<std::vector<double>>& rows) {
  std::vector<double> all;
  for (const std::vector<double>& row : rows) {
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

std::vector<int32_t> tokens_of(const Model& model, int n, uint32_t seed) {
  return reference::random_tokens(n, model.config.vocab_size, seed);
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() &&
      std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check_against_reference(
    const Shape& shape,
    int n,
    Tolerance tolerance,
    RigOptions options = {}) {
  const auto model = reference::random_model(shape);
  const auto tokens = tokens_of(*model, n, shape.seed);
  const auto want = flat(reference::logits(*model, tokens));
  const Logits got = Rig(model, options).feed(tokens);
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
        "logits differ by up to " + std::to_string(largest) +
            ", typically by " + std::to_string(typical));
  }
}

Shape small(WeightFormat format = WeightFormat::kF32) {
  Shape shape;
  shape.format = format;
  return shape;
}

/// Quantised throughout, three query heads to a KV head, two spans' context.
std::shared_ptr<const Model> grouped_model() {
  Shape shape;
  shape.format = WeightFormat::kQ4_1;
  shape.n_heads = 6;
  shape.n_kv_heads = 2;
  shape.head_dim = 64;
  shape.d_model = 96;
  shape.d_ff = 160;
  shape.vocab_size = 101;
  shape.max_context = 2048;
  return reference::random_model(shape);
}

} // namespace

// ---- right ----

TEST("cpu executor: dense models agree with double precision") {
  for (const char* isa : {"", "portable"}) {
    RigOptions options;
    options.isa = isa;
    for (WeightFormat format :
         {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16}) {
      check_against_reference(small(format), 70, kDense, options);
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
  check_against_reference(shape, 80, kDense);
  shape.n_kv_heads = 1;
  shape.head_dim = 10;
  shape.interleaved = true;
  shape.tied = true;
  check_against_reference(shape, 80, kDense);
  shape.n_heads = 1;
  shape.head_dim = 64;
  check_against_reference(shape, 80, kDense);
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
  check_against_reference(shape, 700, kDense);
}

TEST("cpu executor: every quantised format agrees to the error of int8") {
  for (WeightFormat format :
       {WeightFormat::kQ4_0, WeightFormat::kQ4_1, WeightFormat::kQ8_0}) {
    check_against_reference(small(format), 40, kQuantised);
  }
  Shape shape = small(WeightFormat::kAffine);
  for (int bits : {2, 3, 4, 5, 6, 8}) {
    for (int group : {32, 64, 128}) {
      for (WeightFormat scales : {WeightFormat::kF16, WeightFormat::kBF16}) {
        shape.bits = bits;
        shape.group = group;
        shape.d_ff = 256;
        shape.scale_format = scales;
        check_against_reference(shape, 20, kQuantised);
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

// ---- the same, whatever the cut ----

TEST("cpu executor: chunks of 1, 7 and 64 equal one prefill, to the bit") {
  for (const auto& model :
       {grouped_model(), reference::random_model(small())}) {
    const int n = std::min(300, model->config.max_context);
    const auto tokens = tokens_of(*model, n, 4);
    Rig rig(model);
    const Logits whole = rig.feed(tokens, n);
    for (int chunk : {1, 7, 64, 256}) {
      CHECK(same_bits(rig.feed(tokens, chunk), whole));
    }
  }
}

TEST("cpu executor: eight in a batch, decoding and prefilling, equal alone") {
  const auto model = grouped_model();
  Rig rig(model);
  constexpr int kSequences = 8;
  std::vector<std::vector<int32_t>> tokens;
  std::vector<Logits> alone;
  for (int s = 0; s < kSequences; s++) {
    tokens.push_back(tokens_of(*model, 20 + 45 * s, 100 + s));
    alone.push_back(rig.feed(tokens[s]));
  }
  std::vector<BlockTable> tables(kSequences);
  std::vector<Logits> together(kSequences);
  // Odd ones in single tokens, even ones in chunks that differ from step to
  // step, until all are through.
  for (int round = 0;; round++) {
    Step step;
    std::vector<int> of;
    for (int s = 0; s < kSequences; s++) {
      const int done = tables[s].n_tokens;
      const int left = static_cast<int>(tokens[s].size()) - done;
      const int n = std::min(left, s % 2 ? 1 : 3 + (round + s) % 17);
      if (n > 0) {
        step.slices.push_back(rig.slice(
            tables[s],
            std::span(tokens[s]).subspan(done, n),
            Output::kAllLogits));
        of.push_back(s);
      }
    }
    if (of.empty()) {
      break;
    }
    const StepResult result = rig.run(step);
    for (size_t i = 0; i < of.size(); i++) {
      Logits& all = together[of[i]];
      all.insert(all.end(), result.logits[i].begin(), result.logits[i].end());
      tables[of[i]].n_tokens += step.slices[i].size();
    }
  }
  for (int s = 0; s < kSequences; s++) {
    CHECK(same_bits(together[s], alone[s]));
  }
}

TEST("cpu executor: one, two, three and five threads agree to the bit") {
  const auto model = grouped_model();
  const auto tokens = tokens_of(*model, 600, 5);
  Logits first;
  for (int threads : {1, 2, 3, 5}) {
    RigOptions options;
    options.threads = threads;
    Rig rig(model, options);
    CHECK_EQUAL(rig.executor->info().threads, threads);
    // Prefill, then single tokens at a depth where spans are split.
    BlockTable table;
    Logits all = rig.feed(table, std::span(tokens).first(590), 590 / 2);
    const Logits tail = rig.feed(table, std::span(tokens).last(10), 1);
    all.insert(all.end(), tail.begin(), tail.end());
    if (first.empty()) {
      first = all;
    }
    CHECK(same_bits(all, first));
  }
}

TEST("cpu executor: all instruction sets agree to the bit") {
  for (WeightFormat format : {WeightFormat::kQ8_0, WeightFormat::kF16}) {
    const auto model = reference::random_model(small(format));
    const auto tokens = tokens_of(*model, 100, 6);
    Logits first;
    for (const cpu::Kernels* kernels : cpu::available_kernels()) {
      RigOptions options;
      options.isa = kernels->isa;
      Rig rig(model, options);
      CHECK_EQUAL(rig.executor->info().isa, std::string(kernels->isa));
      Logits all = rig.feed(tokens, 100);
      const Logits single = rig.feed(tokens, 1);
      CHECK(same_bits(single, all));
      if (first.empty()) {
        first = all;
      }
      CHECK(same_bits(all, first));
    }
  }
}

TEST("cpu executor: blocks of 16, 48, 64 and 256 tokens agree to the bit") {
  const auto model = grouped_model();
  const auto tokens = tokens_of(*model, 400, 7);
  Logits first;
  for (int block_tokens : {16, 48, 64, 256}) {
    RigOptions options;
    options.block_tokens = block_tokens;
    Rig rig(model, options);
    const Logits all = rig.feed(tokens, 100);
    if (first.empty()) {
      first = all;
    }
    CHECK(same_bits(all, first));
  }
}

TEST("cpu executor: a sliding window sees its tokens and nothing before") {
  // With one layer, a window of w is the last w tokens at their positions.
  Shape shape = small();
  shape.n_layers = 1;
  const auto model = reference::random_model(shape);
  const auto tokens = tokens_of(*model, 200, 8);
  RigOptions windowed;
  windowed.window = 70;
  windowed.block_tokens = 16;
  Rig rig(model, windowed);
  const Logits whole = rig.feed(tokens, 200);
  CHECK(same_bits(rig.feed(tokens, 1), whole));
  CHECK(same_bits(rig.feed(tokens, 33), whole));
  // Blocks that the window has passed may be gone.
  BlockTable table;
  rig.feed(table, std::span(tokens).first(190), 190);
  for (int i = 0; i < (190 - 70) / 16; i++) {
    table.blocks[0][i] = kNoBlock;
  }
  const Logits tail = rig.feed(table, std::span(tokens).last(10), 10);
  CHECK(same_bits(tail, std::span(whole).last(10 * rig.vocab())));
  // And a token that has left it makes no difference.
  auto other = tokens;
  other[100] = (other[100] + 1) % rig.vocab();
  const Logits changed = rig.feed(other, 200);
  const auto row = [&](const Logits& l, int i) {
    return std::span(l).subspan(size_t(i) * rig.vocab(), rig.vocab());
  };
  CHECK(!same_bits(row(changed, 169), row(whole, 169)));
  CHECK(same_bits(row(changed, 170), row(whole, 170)));
  // Global attention differs, so the window does something.
  CHECK(!same_bits(Rig(model).feed(tokens, 200), whole));
}

// ---- blocks ----

TEST("cpu executor: a block read and written elsewhere goes on identically") {
  const auto model = grouped_model();
  const auto tokens = tokens_of(*model, 170, 9);
  for (int block_tokens : {16, 64}) {
    RigOptions options;
    options.block_tokens = block_tokens;
    Rig a(model, options);
    Rig b(model, options);
    BlockTable from;
    const Logits whole = a.feed(tokens);
    a.feed(from, std::span(tokens).first(150), 150);
    BlockTable to;
    b.grow(to, 150);
    to.n_tokens = 150;
    for (size_t i = 0; i < from.blocks[0].size(); i++) {
      const int n =
          std::min(block_tokens, 150 - static_cast<int>(i) * block_tokens);
      std::vector<std::byte> bytes(
          n * model->config.n_layers * a.spec.token_layer_bytes());
      a.executor->read_block(0, from.blocks[0][i], n, bytes);
      b.executor->write_block(0, to.blocks[0][i], n, bytes);
      std::vector<std::byte> again(bytes.size());
      b.executor->read_block(0, to.blocks[0][i], n, again);
      CHECK(again == bytes);
    }
    const Logits tail = b.feed(to, std::span(tokens).last(20), 20);
    CHECK(same_bits(tail, std::span(whole).last(20 * a.vocab())));
  }
}

TEST("cpu executor: the neutral layout is K, then V, token by token") {
  // With one layer K and V are known: rope of nothing but position 0.
  Shape shape = small();
  shape.n_layers = 1;
  const auto model = reference::random_model(shape);
  const ModelConfig& c = model->config;
  Rig rig(model);
  BlockTable table;
  const std::vector<int32_t> token = {5};
  rig.feed(table, token, 1);
  std::vector<std::byte> bytes(rig.spec.token_layer_bytes());
  rig.executor->read_block(0, table.blocks[0][0], 1, bytes);
  std::vector<uint16_t> halves(bytes.size() / 2);
  std::memcpy(halves.data(), bytes.data(), bytes.size());
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
  for (int i = 0; i < c.kv_dim(); i++) {
    const LayerWeights& w = model->weights.layers[0];
    CHECK(std::fabs(f16_to_f32(halves[i]) - projected(w.k, i)) < 2e-3);
    CHECK(
        std::fabs(f16_to_f32(halves[c.kv_dim() + i]) - projected(w.v, i)) <
        2e-3);
  }
}

TEST(
    "cpu executor: a copied block serves a sequence that parts from the "
    "first") {
  const auto model = grouped_model();
  const auto tokens = tokens_of(*model, 100, 10);
  Rig rig(model);
  BlockTable first;
  rig.feed(first, std::span(tokens).first(90), 90);
  // The second sequence shares block 0 and copies 26 - 3 tokens of block 1.
  BlockTable second;
  rig.grow(second, 128);
  const BlockCopy copy{0, first.blocks[0][1], second.blocks[0][1], 23};
  rig.executor->copy_blocks({&copy, 1});
  second.blocks[0][0] = first.blocks[0][0];
  second.n_tokens = 64 + 23;
  auto parted = std::vector<int32_t>(tokens.begin(), tokens.begin() + 87);
  const auto rest = tokens_of(*model, 15, 11);
  parted.insert(parted.end(), rest.begin(), rest.end());
  const Logits tail = rig.feed(second, rest, 4);
  const Logits fresh = rig.feed(parted);
  CHECK(same_bits(tail, std::span(fresh).last(15 * rig.vocab())));
  // And the first goes on undisturbed.
  const Logits own = rig.feed(first, std::span(tokens).last(10), 3);
  const Logits whole = rig.feed(tokens);
  CHECK(same_bits(own, std::span(whole).last(10 * rig.vocab())));
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
    result =
        rig.run({{rig.slice(a, std::span(&slowly.back(), 1), Output::kToken)}});
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
  Rig rig(model);
  const ExecutorInfo info = rig.executor->info();
  CHECK_EQUAL(info.name, std::string("cpu"));
  CHECK_EQUAL(info.numerics, std::string("cpu-int16-v1-kv-f16"));
  CHECK_EQUAL(info.element_bytes, 2);
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
