// What the MLX executor refuses, what it survives and what it costs.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "check.h"
#include "mlx_rig.h"
#include "reference_llama.h"

using namespace stomp;
using namespace mlx_rig;

namespace {

#ifdef __linux__
/// Field 0: total, 1: resident. Pages.
long pages(int field) {
  std::ifstream file("/proc/self/statm");
  long value = 0;
  for (int i = 0; i <= field; i++) {
    file >> value;
  }
  return value;
}

int os_threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}
#endif

} // namespace

TEST("mlx: steps that would read out of bounds are refused whole") {
  if (!built()) {
    return;
  }
  Rig rig(small_model());
  const std::vector<int32_t> good = prompt_of(16, 10);
  const BlockTable table = rig.table(16);
  const std::vector<float> before = rig.feed(table, good, 0, Output::kLogits);
  const auto refuse = [&](const Slice& slice) {
    Step step;
    step.slices.push_back(slice);
    CHECK_ERROR(rig.run->submit(step), Code::kInvalidRequest);
  };
  const int32_t foreign[] = {113};
  const int32_t negative[] = {-1};
  const std::vector<int32_t> many(kMaxStepTokens + 1);
  BlockTable outside = table;
  outside.blocks[0][0] = kBlocks;
  BlockTable missing = table;
  missing.blocks[0][0] = kNoBlock;
  refuse(Rig::slice(table, foreign, 0, Output::kToken));
  refuse(Rig::slice(table, negative, 0, Output::kToken));
  refuse(Rig::slice(table, good, 1, Output::kToken)); // no room
  refuse(Rig::slice(outside, good, 0, Output::kToken));
  refuse(Rig::slice(missing, good, 0, Output::kToken));
  refuse(Rig::slice(rig.table(kMaxStepTokens + 1), many, 0, Output::kToken));
  refuse(Rig::slice(table, {}, 0, Output::kToken));
  refuse(Rig::slice(table, std::span(good).first(1), -1, Output::kToken));
  refuse(Rig::follow(table, 999, 0, 0));
  CHECK_ERROR(rig.run->submit(Step{}), Code::kInvalidRequest);
  std::vector<std::byte> bytes(rig.block_bytes(4));
  CHECK_ERROR(rig.run->read_block(0, kBlocks, 4, bytes), Code::kInvalidRequest);
  CHECK_ERROR(rig.run->read_block(0, 0, 5, bytes), Code::kInvalidRequest);
  CHECK_ERROR(rig.run->write_block(0, -1, 4, bytes), Code::kInvalidRequest);
  const BlockCopy copy[] = {{0, 0, kBlocks, 4}};
  CHECK_ERROR(rig.run->copy_blocks(copy), Code::kInvalidRequest);
  CHECK(rig.feed(table, good, 0, Output::kLogits) == before);
}

TEST("mlx: tickets are few, and collected once and in order") {
  if (!built()) {
    return;
  }
  Rig rig(small_model());
  const std::vector<int32_t> tokens = prompt_of(4, 12);
  const BlockTable table = rig.table(16);
  Step step;
  step.slices.push_back(Rig::slice(table, tokens, 0, Output::kToken));
  Ticket tickets[4];
  for (Ticket& ticket : tickets) {
    ticket = rig.run->submit(step);
  }
  CHECK_ERROR(rig.run->submit(step), Code::kGenerationFailed);
  CHECK_ERROR(rig.run->collect(tickets[1]), Code::kGenerationFailed);
  const int32_t token = rig.run->collect(tickets[0]).tokens[0];
  CHECK_ERROR(rig.run->collect(tickets[0]), Code::kGenerationFailed);
  for (int i = 1; i < 4; i++) {
    CHECK_EQUAL(rig.run->collect(tickets[i]).tokens[0], token);
  }
}

TEST("mlx: a failing MLX operation is an error with MLX's own words") {
  if (!built()) {
    return;
  }
  auto broken = std::make_shared<Model>(*small_model());
  // The shapes of layer 1 contradict each other.
  broken->weights.layers[1].o.cols /= 2;
  Rig rig(broken);
  Rig healthy(small_model());
  const std::vector<int32_t> tokens = prompt_of(4, 13);
  const BlockTable table = rig.table(16);
  for (int i = 0; i < 2; i++) {
    try {
      rig.feed(table, tokens, 0, Output::kToken);
      check::fail(__FILE__, __LINE__, "should have thrown");
    } catch (const Error& e) {
      CHECK_EQUAL(code_name(e.code()), code_name(Code::kGenerationFailed));
      CHECK(std::strstr(e.what(), "matmul"));
    }
  }
  const BlockTable other = healthy.table(16);
  CHECK_EQUAL(
      healthy.feed(other, tokens, 0, Output::kLogits).size(),
      size_t(healthy.model->config.vocab_size));
}

TEST("mlx: what is missing is said") {
  CHECK_ERROR(make_mlx_executor({}, ""), Code::kExecutorUnavailable);
  CHECK_ERROR(
      make_mlx_executor({}, "/nonexistent/libstomp_mlx.so"),
      Code::kExecutorUnavailable);
#ifdef __linux__
  CHECK_ERROR(make_mlx_executor({}, "libm.so.6"), Code::kExecutorUnavailable);
#endif
  if (built()) {
    CHECK_ERROR(executor("abacus"), Code::kExecutorUnavailable);
    const auto bare = executor("cpu");
    CHECK_ERROR(bare->submit(Step{}), Code::kGenerationFailed);
  }
}

TEST(
    "mlx: heads that codes do not fit are refused, and what takes them named") {
  if (!built()) {
    return;
  }
  reference::Shape shape;
  shape.head_dim = 48;
  const auto model = reference::random_model(shape);
  for (const int bits : {8, 4}) {
    try {
      executor("cpu", bits)->load(model, {});
      check::fail(__FILE__, __LINE__, "should have thrown");
    } catch (const Error& e) {
      CHECK_EQUAL(code_name(e.code()), code_name(Code::kInvalidRequest));
      CHECK(std::strstr(e.what(), "--kv-bits"));
      CHECK(std::strstr(e.what(), "--executor cpu"));
    }
  }
  executor("cpu", 16)->load(model, {});
  CHECK_ERROR(executor("cpu", 6), Code::kInvalidRequest);
}

// The allocators of sanitizers end the process instead.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST("mlx: a pool beyond the machine is refused") {
  if (!built()) {
    return;
  }
  const auto run = executor("cpu");
  run->load(small_model(), {});
  ModelCacheSpec spec =
      make_cache_spec(small_model()->config, kBlockTokens, {4});
  CHECK_ERROR(run->allocate_pool(spec, {1 << 28}), Code::kInvalidRequest);
  spec.n_kv_heads = 64;
  spec.key_dim = 1024; // 2^48 bytes a layer
  CHECK_ERROR(run->allocate_pool(spec, {1 << 26}), Code::kInvalidRequest);
  spec = make_cache_spec(small_model()->config, kBlockTokens, {2});
  CHECK_ERROR(run->allocate_pool(spec, {8}), Code::kInvalidRequest);
}
#endif

#ifdef __linux__
TEST("mlx: a pool of 4 GB costs address space, not memory") {
  if (!built()) {
    return;
  }
  const auto model = small_model();
  const auto run = executor("cpu");
  run->load(model, {});
  const ModelCacheSpec spec = make_cache_spec(model->config, kBlockTokens, {4});
  const size_t bytes = size_t{4} << 30;
  const int blocks = static_cast<int>(bytes / spec.block_bytes(0));
  const long total = pages(0);
  const long resident = pages(1);
  run->allocate_pool(spec, {blocks});
  CHECK_EQUAL(run->memory().pool_bytes, bytes);
  CHECK(pages(0) - total >= static_cast<long>(bytes / 4096));
  // The far end works, and costs what it holds.
  std::vector<std::byte> in(spec.block_bytes(0), std::byte{5});
  std::vector<std::byte> out(in.size());
  run->write_block(0, blocks - 1, kBlockTokens, in);
  run->read_block(0, blocks - 1, kBlockTokens, out);
  CHECK(in == out);
  CHECK((pages(1) - resident) * 4096 < 16 << 20);
}

TEST("mlx: steps in flight never copy the pool") {
  if (!built()) {
    return;
  }
  for (const char* device : kDevices) {
    constexpr int kLarge = 1 << 16; // blocks: 1 GB
    Rig rig(small_model(), device, kLarge);
    CHECK_EQUAL(rig.run->memory().pool_bytes, size_t{1} << 30);
    const long resident = pages(1);
    const BlockTable table = rig.table(64);
    Step first;
    const std::vector<int32_t> tokens = prompt_of(4, 15);
    first.slices.push_back(Rig::slice(table, tokens, 0, Output::kToken));
    Ticket ticket = rig.run->submit(first);
    for (int i = 0; i < 40; i++) {
      Step next;
      next.slices.push_back(Rig::follow(table, ticket, 0, 4 + i));
      const Ticket later = rig.run->submit(next);
      rig.run->collect(ticket);
      ticket = later;
    }
    rig.run->collect(ticket);
    CHECK((pages(1) - resident) * 4096 < 32 << 20);
  }
}

TEST("mlx: engine threads come and go without leaving threads behind") {
  if (!built()) {
    return;
  }
  const auto use = [] {
    std::thread([] {
      Rig rig(small_model());
      rig.greedy(prompt_of(4, 14), 2);
    }).join();
  };
  use();
  const int before = os_threads();
  for (int i = 0; i < 4; i++) {
    use();
  }
  CHECK_EQUAL(os_threads(), before);
}
#endif
