// Attention of metal/ against f64, over any shapes: decode and prefill, alone
// and together.
#include <cmath>
#include <cstring>

#include "attention_case.h"
#include "check.h"
#include "seeds.h"

using namespace paged_rig;

namespace {

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() &&
      std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

// Rows of a span from which on it is a prompt.
constexpr int kAllDecode = 1000;
constexpr int kAllPrefill = 0;

} // namespace

TEST("metal: attention is that of f64, whatever the shape") {
  for_seeds(1, 80, [](Random& random) {
    AttentionCase step = random_case(random);
    step.check(step.run({}));
  });
}

TEST("metal: a row may attend by decode or in a prompt's tile") {
  for_seeds(1000, 15, [](Random& random) {
    AttentionCase step = random_case(random);
    step.check(step.run({.most_decode_rows = kAllDecode}));
    step.check(step.run({.most_decode_rows = kAllPrefill}));
  });
}

TEST("metal: attention is that of f64, however the context is split") {
  for_seeds(2000, 12, [](Random& random) {
    AttentionCase step = random_case(random);
    for (int split_tokens : {random.integer(7, 63), 64, 100000}) {
      step.check(step.run(
          {.split_tokens = split_tokens, .most_decode_rows = kAllDecode}));
    }
  });
}

TEST("metal: a sequence's bits do not depend on who else is in the step") {
  for_seeds(3000, 20, [](Random& random) {
    AttentionCase step = random_case(random);
    const int split_tokens = random.integer(1, 200);
    const std::vector<double> all = step.run({.split_tokens = split_tokens});
    std::vector<double> each(all.size(), 0);
    for (int i = 0; i < step.n_sequences(); i++) {
      const std::vector<double> alone =
          step.run({.split_tokens = split_tokens}, i);
      for (size_t j = 0; j < alone.size(); j++) {
        // Other sequences' rows are as they were, NaN.
        each[j] = std::isnan(alone[j]) ? each[j] : alone[j];
      }
    }
    CHECK(same_bits(all, each));
  });
}

TEST("metal: attention has the same bits in whatever order threads run") {
  for_seeds(4000, 12, [](Random& random) {
    AttentionCase step = random_case(random);
    const std::vector<double> forward = step.run({});
    for (Order order : {Order::kBackward, Order::kShuffled}) {
      CHECK(same_bits(forward, step.run({.order = order})));
    }
  });
}

TEST("metal: every head size that models have attends") {
  for (int head_dim = 16; head_dim <= 256; head_dim += 16) {
    Random random(static_cast<uint32_t>(head_dim));
    Attention attention;
    attention.cache = {Element::kF16, 1, head_dim, 16, 16, 64};
    attention.n_heads = 3;
    attention.scale = 1 / std::sqrt(static_cast<float>(head_dim));
    AttentionCase step(random, attention, {{20, 1}, {3, 9}}, 4);
    step.check(step.run({}));
  }
}
