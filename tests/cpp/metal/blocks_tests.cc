// Blocks that are copied within a plane and gathered out of the pool.
#include <cmath>
#include <numeric>

#include "check.h"
#include "seeds.h"

using namespace paged_rig;
namespace metal = stomp::mlx_exec::metal;

namespace {

std::vector<uint8_t> random_bytes(Random& random, size_t n) {
  std::vector<uint8_t> bytes(n);
  for (uint8_t& byte : bytes) {
    byte = static_cast<uint8_t>(random.integer(0, 255));
  }
  return bytes;
}

} // namespace

TEST("metal: a copied block has its tokens' bytes, all others stay") {
  for_seeds(1, 60, [](Random& random) {
    CacheShape shape = random_shape(random);
    const size_t token_bytes = random.pick<size_t>({2, 6, 12, 48, 256, 1040});
    const int n_blocks = random.integer(2, 9);
    const std::vector<int> ids = random.permutation(n_blocks);
    std::vector<paged::BlockMove> moves(random.integer(1, n_blocks / 2));
    for (size_t i = 0; i < moves.size(); i++) {
      moves[i] = {
          ids[2 * i], ids[2 * i + 1], random.integer(1, shape.block_tokens)};
    }
    const size_t block_bytes = shape.block_tokens * token_bytes;
    std::vector<uint8_t> expected =
        random_bytes(random, n_blocks * block_bytes);
    const Edge edge = random.edge();
    const auto plane = guarded("plane", expected, edge);
    const auto move_list = guarded("moves", moves, edge);
    for (const paged::BlockMove& m : moves) {
      std::copy_n(
          expected.begin() + m.src * block_bytes,
          m.tokens * token_bytes,
          expected.begin() + m.dst * block_bytes);
    }
    const auto plan = metal::plan_copy(shape, token_bytes, moves);
    run_launch(
        plan.launch,
        plan.params,
        {{"moves", move_list.get()}, {"plane", plane.get()}});
    const auto actual = plane->as<uint8_t>();
    CHECK(std::equal(actual.begin(), actual.end(), expected.begin()));
  });
}

TEST("metal: rows that are put have their bytes, whoever stands beside them") {
  for_seeds(200, 60, [](Random& random) {
    const CacheShape shape = random_shape(random);
    const size_t token_bytes = random.pick<size_t>({2, 6, 12, 48, 256, 1040});
    const int n_slots = random.integer(1, 40);
    std::vector<int> slots = random.permutation(n_slots);
    slots.resize(random.integer(1, n_slots));
    std::vector<uint8_t> expected = random_bytes(random, n_slots * token_bytes);
    const std::vector<uint8_t> rows =
        random_bytes(random, slots.size() * token_bytes);
    const Edge edge = random.edge();
    const auto plane = guarded("plane", expected, edge);
    const auto row_list = guarded("rows", rows, edge);
    const auto slot_list = guarded("slots", slots, edge);
    for (size_t i = 0; i < slots.size(); i++) {
      std::copy_n(
          rows.begin() + i * token_bytes,
          token_bytes,
          expected.begin() + slots[i] * token_bytes);
    }
    const auto plan =
        metal::plan_put(shape, token_bytes, static_cast<int>(slots.size()));
    run_launch(
        plan.launch,
        plan.params,
        {{"rows", row_list.get()},
         {"slots", slot_list.get()},
         {"plane", plane.get()}});
    const auto actual = plane->as<uint8_t>();
    CHECK(std::equal(actual.begin(), actual.end(), expected.begin()));
  });
}

TEST("metal: what is gathered is what the pool's planes stand for") {
  for_seeds(100, 60, [](Random& random) {
    const CacheShape shape = random_shape(random);
    const int n_blocks = random.integer(1, 5);
    const Edge edge = random.edge();
    Planes planes("planes", shape, n_blocks * shape.block_tokens, edge);
    std::vector<int> blocks = random.permutation(n_blocks);
    blocks.resize(random.integer(1, n_blocks));
    const int room = static_cast<int>(blocks.size()) * shape.block_tokens;
    const int begin = random.integer(0, room - 1);
    const int tokens = random.integer(1, room - begin);
    const auto slot = [&](int token) {
      const int at = begin + token;
      return blocks[at / shape.block_tokens] * shape.block_tokens +
          at % shape.block_tokens;
    };
    for (int token = 0; token < tokens; token++) {
      planes.fill(slot(token), random, 1);
    }
    Elements out(
        "out",
        shape.element,
        size_t(shape.kv_heads) * tokens * shape.head_dim,
        edge);
    const auto block_list = guarded("blocks", blocks, edge);
    Buffers buffers{
        {"elements", &planes.elements()},
        {"blocks", block_list.get()},
        {"out", &out.memory()}};
    if (shape.bits < 16) {
      buffers["scales"] = &planes.scales();
      buffers["biases"] = &planes.biases();
    }
    const auto plan = metal::plan_gather(shape, begin, tokens);
    run_launch(plan.launch, plan.params, buffers);
    // Once rounded, from f32.
    Elements rounded("rounded", shape.element, 1, edge);
    size_t i = 0;
    for (int head = 0; head < shape.kv_heads; head++) {
      for (int token = 0; token < tokens; token++) {
        for (int d = 0; d < shape.head_dim; d++) {
          const double value = planes.value(slot(token), head, d);
          rounded.set(0, value);
          const double step =
              shape.element == Element::kF32 ? 1e-6 : rounded.get(0) * 1e-2;
          CHECK(std::abs(out.get(i) - rounded.get(0)) <= std::abs(step));
          i++;
        }
      }
    }
  });
}
