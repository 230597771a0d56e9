// Decode attention of cuda/ against f64, over any shapes.
#include <cmath>
#include <cstring>

#include "attention_case.h"
#include "check.h"
#include "seeds.h"

using namespace paged_rig;

namespace {

// Rows of a span from which on it is a prompt, which these kernels have not.
constexpr int kAllDecode = 1000;

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() &&
      std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

Way decode(int split_tokens = 0, Order order = Order::kForward) {
  return {
      .split_tokens = split_tokens,
      .most_decode_rows = kAllDecode,
      .order = order};
}

} // namespace

TEST("cuda: decode is that of f64, whatever the shape") {
  for_seeds(1, 50, [](Random& random) {
    AttentionCase step = random_case(random);
    step.check(step.run(decode()));
  });
}

TEST("cuda: decode is that of f64, however the context is split") {
  for_seeds(2000, 10, [](Random& random) {
    AttentionCase step = random_case(random);
    for (int split_tokens : {random.integer(7, 63), 64, 100000}) {
      step.check(step.run(decode(split_tokens)));
    }
  });
}

TEST("cuda: a sequence's bits do not depend on who else is in the step") {
  for_seeds(3000, 10, [](Random& random) {
    AttentionCase step = random_case(random);
    const int split_tokens = random.integer(1, 200);
    const std::vector<double> all = step.run(decode(split_tokens));
    std::vector<double> each(all.size(), 0);
    for (int i = 0; i < step.n_sequences(); i++) {
      const std::vector<double> alone = step.run(decode(split_tokens), i);
      for (size_t j = 0; j < alone.size(); j++) {
        // Other sequences' rows are as they were, NaN.
        each[j] = std::isnan(alone[j]) ? each[j] : alone[j];
      }
    }
    CHECK(same_bits(all, each));
  });
}

TEST("cuda: decode has the same bits in whatever order threads run") {
  for_seeds(4000, 10, [](Random& random) {
    AttentionCase step = random_case(random);
    const std::vector<double> forward = step.run(decode());
    for (Order order : {Order::kBackward, Order::kShuffled}) {
      CHECK(same_bits(forward, step.run(decode(0, order))));
    }
  });
}

TEST("cuda: every head size that models have attends") {
  for (int head_dim = 16; head_dim <= 256; head_dim += 16) {
    Random random(static_cast<uint32_t>(head_dim));
    Attention attention;
    attention.cache = {Element::kF16, 1, head_dim, 16, 16, 64};
    attention.n_heads = 3;
    attention.scale = 1 / std::sqrt(static_cast<float>(head_dim));
    AttentionCase step(random, attention, {{20, 1}, {3, 2}}, 4);
    step.check(step.run(decode()));
  }
}
