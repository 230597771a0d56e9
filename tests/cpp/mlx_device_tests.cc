// What the MLX executor does on any device, held to what that device computes
// in: STOMP_TEST_DEVICE=gpu runs these on a GPU, which computes in 16 bits and
// rounds otherwise for other numbers of rows. Golden values are mlx-lm's, in
// f32 (mlx_golden_tests.cc).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "check.h"
#include "golden.h"
#include "mlx_rig.h"
#include "reference_llama.h"

using namespace stomp;
using namespace golden_files;
using mlx_rig::best_of;
using mlx_rig::prompt_of;
using mlx_rig::Rig;
using mlx_rig::small_model;

namespace {

/// Whether the device computes in f32.
bool is_exact(const Rig& rig) {
  return rig.run->info().isa.find(", f32") != std::string::npos;
}

/// What logits may differ by, as a share of their size. Eight bits of bf16
/// are 0.4 % a rounding, of which a layer has about ten.
double allowed(const Rig& rig) {
  return is_exact(rig) ? 1e-4 : 0.05;
}

template <typename T>
double off(std::span<const float> got, const std::vector<T>& want) {
  CHECK_EQUAL(got.size(), want.size());
  double squares = 0;
  double differences = 0;
  for (size_t i = 0; i < want.size(); i++) {
    squares += double(want[i]) * want[i];
    differences += (double(got[i]) - want[i]) * (double(got[i]) - want[i]);
  }
  return std::sqrt(differences / squares);
}

/// Of greedy tokens, how many are those that were wanted.
struct Agreement {
  size_t same = 0;
  size_t all = 0;

  void add(int32_t got, int32_t want) {
    same += got == want ? 1 : 0;
    all++;
  }
  double share() const { return double(same) / double(all); }
};

/// Each golden token's position, with the golden tokens before it.
void follow(
    Rig& rig,
    const std::vector<int32_t>& prompt,
    const std::vector<int32_t>& answer,
    Agreement& agreement) {
  const int n = static_cast<int>(prompt.size());
  const BlockTable table = rig.table(n + static_cast<int>(answer.size()));
  int position = 0;
  std::vector<int32_t> tokens = prompt;
  for (int32_t want : answer) {
    const std::vector<float> logits =
        rig.feed(table, tokens, position, Output::kLogits);
    agreement.add(best_of(logits), want);
    position += static_cast<int>(tokens.size());
    tokens = {want};
  }
}

void check_checkpoint(
    const std::string& name,
    const Json& results,
    const Json::Array& prompts,
    Agreement& agreement) {
  Rig rig(open_model(fixture("models/" + name)), mlx_rig::test_device());
  for (size_t i = 0; i < prompts.size(); i++) {
    const std::vector<int32_t> prompt = ids_of(*prompts[i].find("ids"));
    const Json& expected = results.array()->at(i);
    rig.next_block = 0;
    const std::vector<float> logits = rig.feed(
        rig.table(static_cast<int>(prompt.size())),
        std::span(prompt).first(
            std::min<size_t>(prompt.size(), mlx_rig::kMaxStepTokens)),
        0,
        Output::kLogits);
    if (prompt.size() <= mlx_rig::kMaxStepTokens) {
      const double error = off(logits, numbers_of(*expected.find("logits")));
      if (!(error <= allowed(rig))) {
        check::fail(
            __FILE__, __LINE__, name + " is off by " + std::to_string(error));
      }
    }
    rig.next_block = 0;
    follow(rig, prompt, ids_of(*expected.find("greedy")), agreement);
  }
}

} // namespace

TEST(
    "mlx device: logits are close to mlx-lm's, greedy tokens mostly the same") {
  if (!mlx_rig::built()) {
    return;
  }
  Agreement agreement;
  for (const char* file_name : {"tiny-llama.json", "families.json"}) {
    const Json file = golden(file_name);
    const Json::Array& prompts = *file.find("prompts")->array();
    for (const auto& [name, results] : *file.find("models")->members()) {
      check_checkpoint(name, results, prompts, agreement);
    }
  }
  std::printf(
      "      %zu of %zu greedy tokens are the same\n",
      agreement.same,
      agreement.all);
  // Weights are random: their best tokens are often close to each other.
  CHECK(agreement.share() >= 0.9);
}

TEST("mlx device: kernels of our own agree with MLX's operations") {
  if (!mlx_rig::built()) {
    return;
  }
  const auto run = mlx_rig::executor(mlx_rig::test_device());
  for (const KernelCheck& check : run->check_kernels()) {
    CHECK_EQUAL(check.name + ": " + check.failure, check.name + ": ");
  }
  const Rig rig(small_model(), mlx_rig::test_device());
  std::printf("      %s\n", rig.run->info().isa.c_str());
  if (rig.run->info().device != "cpu") {
    CHECK(rig.run->info().isa.find(", paged ") != std::string::npos);
  }
}

TEST("mlx device: rows that come alone see what a prompt in one step sees") {
  if (!mlx_rig::built()) {
    return;
  }
  reference::Shape windowed;
  windowed.n_layers = 3;
  windowed.window = 20;
  for (const auto& model : {small_model(), reference::random_model(windowed)}) {
    Rig rig(model, mlx_rig::test_device());
    const std::vector<int32_t> prompt = prompt_of(70, 31);
    const std::vector<float> whole = rig.all_logits(rig.table(70), prompt, 70);
    for (int chunk : {1, 33}) {
      CHECK(
          off(rig.all_logits(rig.table(70), prompt, chunk), whole) <=
          allowed(rig));
      rig.next_block -= 5;
    }
  }
}

TEST("mlx device: neighbours in a step, prompts among them, change little") {
  if (!mlx_rig::built()) {
    return;
  }
  Rig rig(small_model(), mlx_rig::test_device());
  constexpr int kSequences = 6;
  Step step;
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::vector<float>> alone;
  std::vector<BlockTable> tables;
  for (int i = 0; i < kSequences; i++) {
    prompts.push_back(prompt_of(4 + 7 * i, 40 + i));
    const int n = static_cast<int>(prompts[i].size());
    alone.push_back(rig.feed(rig.table(n), prompts[i], 0, Output::kLogits));
    tables.push_back(rig.table(n));
  }
  for (int i = 0; i < kSequences; i++) {
    const int n = static_cast<int>(prompts[i].size());
    // Rows alone, pairs, prompts.
    const int rows = i % 3 == 0 ? 1 : i % 3 == 1 ? 2 : n - 2;
    const std::span<const int32_t> tokens(prompts[i]);
    rig.feed(tables[i], tokens.first(n - rows), 0, Output::kNone);
    step.slices.push_back(
        Rig::slice(tables[i], tokens.last(rows), n - rows, Output::kLogits));
  }
  const StepResult result = rig.run->collect(rig.run->submit(step));
  for (int i = 0; i < kSequences; i++) {
    CHECK(off(result.logits[i], alone[i]) <= allowed(rig));
  }
}

TEST("mlx device: blocks read, written and copied are the same bytes") {
  if (!mlx_rig::built()) {
    return;
  }
  for (const int bits : {16, 8, 4}) {
    Rig rig(small_model(), mlx_rig::test_device(), mlx_rig::kBlocks, bits);
    const BlockTable first = rig.table(27);
    rig.feed(first, prompt_of(27, 50), 0, Output::kNone);
    const BlockId from = first.blocks[0][1];
    const std::vector<std::byte> bytes = rig.read(from, 11);
    const BlockId written = rig.block();
    rig.run->write_block(0, written, 11, bytes);
    CHECK(rig.read(written, 11) == bytes);
    const BlockCopy copy{0, from, rig.block(), 11};
    rig.run->copy_blocks({&copy, 1});
    CHECK(rig.read(copy.dst, 11) == bytes);
  }
}

TEST("mlx device: the default model answers mostly as mlx-lm does") {
  const char* path = std::getenv("STOMP_TEST_MODEL");
  if (!path || !*path || mlx_rig::test_device() == "cpu") {
    std::printf("skip  for GPUs, with a file that STOMP_TEST_MODEL names\n");
    return;
  }
  Rig rig(open_model(path), mlx_rig::test_device());
  const Json file = golden("smollm2-greedy.json");
  Agreement agreement;
  for (const Json& prompt : *file.find("prompts")->array()) {
    const std::vector<int32_t> ids = ids_of(*prompt.find("ids"));
    if (ids.size() < mlx_rig::kMaxStepTokens) {
      rig.next_block = 0;
      follow(rig, ids, ids_of(*prompt.find("tokens")), agreement);
    }
  }
  std::printf(
      "      %zu of %zu greedy tokens are the same\n",
      agreement.same,
      agreement.all);
  CHECK(agreement.share() >= 0.95);
}
