// The MLX executor's promises, on MLX's CPU device in f32: with the Primitives
// that write in place and, as GPUs run it, with stock operations alone.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "check.h"
#include "mlx_rig.h"
#include "reference_llama.h"

using namespace stomp;
using namespace mlx_rig;

namespace {

// f32 against double, logits of about one.
constexpr double kTolerance = 2e-5;

reference::Shape shape_of(WeightFormat format) {
  reference::Shape shape;
  shape.format = format;
  return shape;
}

/// Largest error of every position's logits against the reference.
double error_of(Rig& rig, int n_tokens, int chunk) {
  const std::vector<int32_t> tokens =
      reference::random_tokens(n_tokens, rig.model->config.vocab_size, 11);
  const auto expected = reference::logits(*rig.model, tokens);
  std::vector<double> flat;
  for (const std::vector<double>& row : expected) {
    flat.insert(flat.end(), row.begin(), row.end());
  }
  return reference::max_difference(
      rig.all_logits(rig.table(n_tokens), tokens, chunk), flat);
}

void check_model(const std::shared_ptr<const Model>& model, int chunk) {
  Rig rig(model);
  const double error = error_of(rig, 40, chunk);
  if (error > kTolerance) {
    std::printf("      error %g\n", error);
  }
  CHECK(error <= kTolerance);
}

} // namespace

TEST("mlx: says what it is") {
  if (!built()) {
    return;
  }
  const ExecutorInfo info = executor("cpu")->info();
  CHECK_EQUAL(info.name, "mlx");
  CHECK_EQUAL(info.device, "cpu");
  CHECK_EQUAL(info.isa, "MLX 0.32.2, f32");
  CHECK_EQUAL(info.numerics, "mlx-f32-v1");
  CHECK_EQUAL(info.kv.element_bytes, 4);
}

TEST("mlx: dense logits equal the reference at every position") {
  if (!built()) {
    return;
  }
  for (const char* device : kDevices) {
    for (bool interleaved : {false, true}) {
      reference::Shape shape;
      shape.interleaved = interleaved;
      Rig rig(reference::random_model(shape), device);
      CHECK(error_of(rig, 70, 70) <= kTolerance);
    }
  }
}

TEST("mlx: biases and norms of heads equal the reference") {
  if (!built()) {
    return;
  }
  for (const bool norms : {false, true}) {
    reference::Shape shape = shape_of(WeightFormat::kQ8_0);
    shape.interleaved = false;
    shape.qkv_bias = !norms;
    shape.qk_norm = norms;
    shape.rope_scale = norms ? 1.1f : 1.0f;
    check_model(reference::random_model(shape), 40);
  }
}

TEST("mlx: windows, sinks, post-norms and activations equal the reference") {
  if (!built()) {
    return;
  }
  reference::Shape shape = shape_of(WeightFormat::kQ8_0);
  shape.n_layers = 3;
  shape.interleaved = false;
  shape.qk_norm = true;
  shape.post_norms = true;
  shape.activation = Activation::kGeluTanh;
  shape.embedding_scale = 3;
  shape.attention_scale = 0.25f;
  shape.window = 20;
  shape.local_rope = true;
  check_model(reference::random_model(shape), 70);
  shape = shape_of(WeightFormat::kQ8_0);
  shape.sinks = true;
  shape.activation = Activation::kClampedSwiglu;
  check_model(reference::random_model(shape), 40);
  shape.window = 7;
  check_model(reference::random_model(shape), 70);
}

TEST("mlx: mixtures of experts equal the reference, in few rows and many") {
  if (!built()) {
    return;
  }
  for (const bool normalised : {true, false}) {
    for (const WeightFormat format :
         {WeightFormat::kF16,
          WeightFormat::kQ4_1,
          WeightFormat::kMxfp4,
          WeightFormat::kMxfp4Blocks}) {
      reference::Shape shape = shape_of(format);
      shape.interleaved = false;
      shape.o_bias = true;
      shape.n_layers = 3;
      shape.n_experts = 5;
      shape.n_chosen = 2;
      shape.normalised = normalised;
      shape.expert_biases = normalised;
      shape.dense_layer = 1;
      shape.activation =
          normalised ? Activation::kClampedSwiglu : Activation::kSilu;
      for (const int chunk : {1, 40}) {
        check_model(reference::random_model(shape), chunk);
      }
    }
  }
}

TEST("mlx: experts in several formats are refused") {
  if (!built()) {
    return;
  }
  reference::Shape shape = shape_of(WeightFormat::kQ8_0);
  shape.n_experts = 3;
  shape.n_chosen = 1;
  auto mixed = std::make_shared<Model>(*reference::random_model(shape));
  const auto dense = small_model();
  mixed->weights.layers[0].experts.up[1] = dense->weights.layers[0].up;
  CHECK_ERROR(Rig{mixed}, Code::kModelUnsupported);
}

TEST("mlx: every weight format equals the reference") {
  if (!built()) {
    return;
  }
  for (WeightFormat format :
       {WeightFormat::kF16,
        WeightFormat::kBF16,
        WeightFormat::kQ4_0,
        WeightFormat::kQ4_1,
        WeightFormat::kQ8_0,
        WeightFormat::kMxfp4,
        WeightFormat::kMxfp4Blocks}) {
    check_model(reference::random_model(shape_of(format)), 40);
  }
}

TEST("mlx: every affine width and group equals the reference") {
  if (!built()) {
    return;
  }
  reference::Shape shape = shape_of(WeightFormat::kAffine);
  for (int bits : {2, 3, 4, 5, 6, 8}) {
    shape.bits = bits;
    check_model(reference::random_model(shape), 40);
  }
  shape.bits = 4;
  shape.d_ff = 256;
  for (int group : {64, 128}) {
    shape.group = group;
    shape.scale_format = group == 64 ? WeightFormat::kBF16 : WeightFormat::kF32;
    check_model(reference::random_model(shape), 40);
  }
}

TEST("mlx: formats may differ within a fused group") {
  if (!built()) {
    return;
  }
  auto mixed = std::make_shared<Model>(
      *reference::random_model(shape_of(WeightFormat::kQ4_0)));
  const auto wide = reference::random_model(shape_of(WeightFormat::kQ8_0));
  const auto dense = small_model();
  mixed->weights.layers[0].k = wide->weights.layers[0].k;
  mixed->weights.layers[0].up = dense->weights.layers[0].up;
  mixed->weights.layers[1].v = wide->weights.layers[1].v;
  check_model(mixed, 40);
}

TEST("mlx: tied embeddings are loaded once") {
  if (!built()) {
    return;
  }
  reference::Shape shape = shape_of(WeightFormat::kQ8_0);
  shape.tied = true;
  check_model(reference::random_model(shape), 40);
  const auto bytes = [&] {
    return Rig(reference::random_model(shape)).run->memory().weights_bytes;
  };
  const size_t tied = bytes();
  shape.tied = false;
  // 8-bit codes, and two f32 a group of 32.
  const size_t head = size_t(shape.vocab_size) * shape.d_model * 10 / 8;
  CHECK_EQUAL(bytes() - tied, head);
}

TEST("mlx: a prompt may come in chunks of any size") {
  if (!built()) {
    return;
  }
  for (const char* device : kDevices) {
    for (int chunk : {1, 5, 16, 33}) {
      Rig rig(small_model(), device);
      CHECK(error_of(rig, 70, chunk) <= kTolerance);
    }
  }
}

TEST("mlx: what a window has passed is not looked at") {
  if (!built()) {
    return;
  }
  reference::Shape shape;
  shape.n_layers = 3;
  shape.window = 20;
  const auto prompt = prompt_of(80, 3);
  for (const char* device : kDevices) {
    Rig rig(reference::random_model(shape), device);
    const auto whole = rig.all_logits(rig.table(80), prompt, 80);
    BlockTable table = rig.table(80);
    rig.all_logits(table, std::span(prompt).first(70), 70);
    for (int i = 0; i < (70 + 1 - shape.window) / kBlockTokens; i++) {
      table.blocks[1][i] = kNoBlock;
    }
    const auto tail =
        rig.feed(table, std::span(prompt).subspan(70), 70, Output::kAllLogits);
    const std::span last = std::span(whole).last(tail.size());
    for (size_t i = 0; i < tail.size(); i++) {
      CHECK(std::abs(tail[i] - last[i]) < 1e-4);
    }
  }
}

TEST("mlx: a batch of eight gives each exactly what it gets alone") {
  if (!built()) {
    return;
  }
  Rig rig(reference::random_model(shape_of(WeightFormat::kQ4_1)));
  constexpr int kSequences = 8;
  std::vector<std::vector<int32_t>> prompts;
  std::vector<BlockTable> together;
  std::vector<std::vector<float>> alone;
  for (int i = 0; i < kSequences; i++) {
    prompts.push_back(prompt_of(3 + 5 * i, 20 + i));
    const int n = static_cast<int>(prompts[i].size());
    together.push_back(rig.table(n));
    const BlockTable own = rig.table(n);
    rig.feed(own, std::span(prompts[i]).first(n - 1), 0, Output::kNone);
    alone.push_back(
        rig.feed(own, std::span(prompts[i]).last(1), n - 1, Output::kLogits));
    rig.next_block -= static_cast<int>(own.blocks[0].size());
  }
  for (int i = 0; i < kSequences; i++) {
    const int n = static_cast<int>(prompts[i].size());
    rig.feed(together[i], std::span(prompts[i]).first(n - 1), 0, Output::kNone);
  }
  Step step;
  for (int i = 0; i < kSequences; i++) {
    const int n = static_cast<int>(prompts[i].size());
    step.slices.push_back(Rig::slice(
        together[i], std::span(prompts[i]).last(1), n - 1, Output::kLogits));
  }
  const StepResult result = rig.run->collect(rig.run->submit(step));
  for (int i = 0; i < kSequences; i++) {
    CHECK(std::ranges::equal(result.logits[i], alone[i]));
  }
}

TEST("mlx: prefill chunks and decode rows share a step") {
  if (!built()) {
    return;
  }
  for (const char* device : kDevices) {
    Rig rig(small_model(), device);
    const std::vector<int32_t> a = prompt_of(30, 1);
    const std::vector<int32_t> b = prompt_of(41, 2);
    const BlockTable ta = rig.table(30);
    const BlockTable tb = rig.table(41);
    rig.feed(ta, std::span(a).first(29), 0, Output::kNone);
    rig.feed(tb, std::span(b).first(10), 0, Output::kNone);
    Step step;
    step.slices.push_back(
        Rig::slice(tb, std::span(b).subspan(10, 20), 10, Output::kNone));
    step.slices.push_back(
        Rig::slice(ta, std::span(a).last(1), 29, Output::kToken));
    const StepResult first = rig.run->collect(rig.run->submit(step));
    CHECK_EQUAL(first.tokens[0], -1);
    CHECK_EQUAL(
        first.tokens[1],
        reference::arg_max(reference::logits(*rig.model, a).back()));
    CHECK(first.logits[0].empty() && first.logits[1].empty());
    const std::vector<float> rest =
        rig.feed(tb, std::span(b).subspan(30), 30, Output::kLogits);
    const std::vector<double> expected =
        reference::logits(*rig.model, b).back();
    CHECK(reference::max_difference(rest, expected) <= kTolerance);
  }
}

TEST("mlx: tokens still on the device continue their sequences") {
  if (!built()) {
    return;
  }
  for (const char* device : kDevices) {
    Rig rig(small_model(), device);
    const std::vector<int32_t> a = prompt_of(9, 3);
    const std::vector<int32_t> b = prompt_of(17, 4);
    constexpr int kTokens = 12;
    const BlockTable ta = rig.table(9 + kTokens);
    const BlockTable tb = rig.table(17 + kTokens);
    Step step;
    step.slices.push_back(Rig::slice(ta, a, 0, Output::kToken));
    step.slices.push_back(Rig::slice(tb, b, 0, Output::kToken));
    Ticket ticket = rig.run->submit(step);
    std::vector<int32_t> out_a, out_b;
    for (int i = 1; i <= kTokens; i++) {
      // The order of slices changes from step to step.
      Step next;
      const int at = i % 2;
      next.slices.resize(2);
      next.slices[at] = Rig::follow(ta, ticket, 1 - at, 8 + i);
      next.slices[1 - at] = Rig::follow(tb, ticket, at, 16 + i);
      if (i == 1) {
        next.slices[at].source.slice = 0;
        next.slices[1 - at].source.slice = 1;
      }
      const Ticket later = rig.run->submit(next);
      const StepResult result = rig.run->collect(ticket);
      const int was = i == 1 ? 0 : 1 - at;
      out_a.push_back(result.tokens[was]);
      out_b.push_back(result.tokens[1 - was]);
      ticket = later;
    }
    rig.run->collect(ticket);
    CHECK(out_a == reference::greedy(*rig.model, a, kTokens));
    CHECK(out_b == reference::greedy(*rig.model, b, kTokens));
  }
}

TEST("mlx: a device token may stand beside tokens from the host") {
  if (!built()) {
    return;
  }
  Rig rig(small_model());
  const std::vector<int32_t> a = prompt_of(5, 5);
  const std::vector<int32_t> b = prompt_of(12, 6);
  const BlockTable ta = rig.table(16);
  const BlockTable tb = rig.table(16);
  Step first;
  first.slices.push_back(
      Rig::slice(tb, std::span(b).first(6), 0, Output::kNone));
  first.slices.push_back(Rig::slice(ta, a, 0, Output::kToken));
  const Ticket ticket = rig.run->submit(first);
  Step second;
  second.slices.push_back(
      Rig::slice(tb, std::span(b).subspan(6), 6, Output::kToken));
  second.slices.push_back(Rig::follow(ta, ticket, 1, 5));
  const Ticket later = rig.run->submit(second);
  const int32_t one = rig.run->collect(ticket).tokens[1];
  const StepResult result = rig.run->collect(later);
  const std::vector<int32_t> expected = reference::greedy(*rig.model, a, 2);
  CHECK_EQUAL(one, expected[0]);
  CHECK_EQUAL(result.tokens[1], expected[1]);
  CHECK_EQUAL(result.tokens[0], reference::greedy(*rig.model, b, 1)[0]);
}

TEST("mlx: a block read and written elsewhere continues bit for bit") {
  if (!built()) {
    return;
  }
  for (const char* device : kDevices) {
    Rig rig(small_model(), device);
    const std::vector<int32_t> tokens = prompt_of(27, 7);
    const BlockTable first = rig.table(27);
    rig.feed(first, std::span(tokens).first(26), 0, Output::kNone);
    // The step above is not waited for: reading is ordered behind it.
    const BlockTable second = rig.table(27);
    const std::vector<std::byte> full = rig.read(first.blocks[0][0], 16);
    const std::vector<std::byte> tail = rig.read(first.blocks[0][1], 10);
    rig.run->write_block(0, second.blocks[0][0], 16, full);
    rig.run->write_block(0, second.blocks[0][1], 10, tail);
    CHECK(rig.read(second.blocks[0][0], 16) == full);
    CHECK(rig.read(second.blocks[0][1], 10) == tail);
    const std::vector<float> expected =
        rig.feed(first, std::span(tokens).last(1), 26, Output::kLogits);
    const std::vector<float> restored =
        rig.feed(second, std::span(tokens).last(1), 26, Output::kLogits);
    CHECK(restored == expected);
  }
}

TEST("mlx: the neutral layout is layer by layer, K then V, token-major") {
  if (!built()) {
    return;
  }
  Rig rig(small_model());
  const BlockTable table = rig.table(16);
  const std::vector<int32_t> tokens = prompt_of(3, 8);
  rig.feed(table, tokens, 0, Output::kNone);
  const std::vector<std::byte> three = rig.read(table.blocks[0][0], 3);
  const std::vector<std::byte> two = rig.read(table.blocks[0][0], 2);
  const ModelConfig& c = rig.model->config;
  const size_t row = c.kv_dim() * sizeof(float);
  for (int part = 0; part < 2 * c.n_layers; part++) {
    CHECK(
        std::memcmp(&three[part * 3 * row], &two[part * 2 * row], 2 * row) ==
        0);
  }
  // V of layer 0 has neither rope nor attention in it.
  const std::vector<double> x =
      reference::decode_row(rig.model->weights.embedding, tokens[0]);
  double squares = 0;
  for (double v : x) {
    squares += v * v;
  }
  const double scale = 1 / std::sqrt(squares / x.size() + c.rms_eps);
  const LayerWeights& layer = rig.model->weights.layers[0];
  for (int i = 0; i < c.kv_dim(); i++) {
    const std::vector<double> w = reference::decode_row(layer.v, i);
    double expected = 0;
    for (size_t j = 0; j < x.size(); j++) {
      expected += w[j] * x[j] * scale * layer.attention_norm[j];
    }
    float got;
    std::memcpy(&got, &three[3 * row + i * sizeof(float)], sizeof got);
    CHECK(std::abs(got - expected) <= kTolerance);
  }
}

TEST("mlx: copied blocks part ways") {
  if (!built()) {
    return;
  }
  for (const char* device : kDevices) {
    Rig rig(small_model(), device);
    const std::vector<int32_t> tokens = prompt_of(20, 9);
    const BlockTable parent = rig.table(32);
    rig.feed(parent, tokens, 0, Output::kNone);
    BlockTable child = parent;
    child.blocks[0][1] = rig.block();
    const BlockId third = rig.block();
    const BlockCopy copies[] = {
        {0, parent.blocks[0][1], child.blocks[0][1], 4},
        {0, child.blocks[0][1], third, 4}};
    rig.run->copy_blocks(copies);
    CHECK(rig.read(third, 4) == rig.read(parent.blocks[0][1], 4));
    std::vector<int32_t> a = tokens;
    std::vector<int32_t> b = tokens;
    a.push_back(1);
    b.push_back(2);
    Step step;
    step.slices.push_back(
        Rig::slice(parent, std::span(a).last(1), 20, Output::kToken));
    step.slices.push_back(
        Rig::slice(child, std::span(b).last(1), 20, Output::kToken));
    const StepResult result = rig.run->collect(rig.run->submit(step));
    CHECK_EQUAL(result.tokens[0], reference::greedy(*rig.model, a, 1)[0]);
    CHECK_EQUAL(result.tokens[1], reference::greedy(*rig.model, b, 1)[0]);
  }
}
