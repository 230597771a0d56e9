#include <cmath>
#include <map>

#include "check.h"
#include "engine/sampler.h"

using namespace stomp;

namespace {

std::map<int32_t, int>
draw(const std::vector<float>& logits, SamplingOptions options, int n) {
  Sampler sampler;
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; i++) {
    counts[sampler.sample(logits, options, i)]++;
  }
  return counts;
}

} // namespace

TEST("sampling follows softmax of the logits over temperature") {
  const std::vector<float> logits = {std::log(8.0f), std::log(2.0f), 0.0f};
  const auto counts = draw(logits, {.temperature = 1, .seed = 7}, 20000);
  CHECK(std::abs(counts.at(0) / 20000.0 - 8 / 11.0) < 0.02);
  CHECK(std::abs(counts.at(1) / 20000.0 - 2 / 11.0) < 0.02);
  CHECK(std::abs(counts.at(2) / 20000.0 - 1 / 11.0) < 0.02);
  const auto cold = draw(logits, {.temperature = 0.25f, .seed = 7}, 2000);
  CHECK(cold.at(0) > 1980); // 8^4 against 2^4
}

TEST("top-k, top-p and min-p keep exactly the tokens they should") {
  const std::vector<float> logits = {
      std::log(0.1f), std::log(0.5f), std::log(0.25f), std::log(0.15f)};
  CHECK_EQUAL(
      draw(logits, {.temperature = 1, .top_k = 2, .seed = 1}, 500).size(), 2u);
  const auto nucleus =
      draw(logits, {.temperature = 1, .top_p = 0.7f, .seed = 1}, 500);
  CHECK_EQUAL(nucleus.size(), 2u); // 0.5 does not reach 0.7, 0.75 does
  CHECK(nucleus.count(1) && nucleus.count(2));
  const auto likely =
      draw(logits, {.temperature = 1, .min_p = 0.29f, .seed = 1}, 1000);
  CHECK_EQUAL(likely.size(), 3u); // 0.15 / 0.5 = 0.3 stays, 0.2 goes
  CHECK(!likely.count(0));
  CHECK_EQUAL(
      draw(logits, {.temperature = 1, .top_p = 1e-6f, .seed = 1}, 50).size(),
      1u);
}

TEST("a sampled token depends on seed and index alone") {
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); i++) {
    logits[i] = std::sin(static_cast<float>(i));
  }
  Sampler a;
  Sampler b;
  const SamplingOptions options{.temperature = 1.3f, .top_p = 0.9f, .seed = 5};
  std::vector<int32_t> forward;
  for (int i = 0; i < 20; i++) {
    forward.push_back(a.sample(logits, options, i));
  }
  for (int i = 19; i >= 0; i--) {
    CHECK_EQUAL(b.sample(logits, options, i), forward[i]);
  }
  SamplingOptions other = options;
  other.seed = 6;
  int same = 0;
  for (int i = 0; i < 20; i++) {
    same += a.sample(logits, other, i) == forward[i];
  }
  CHECK(same < 5);
}

TEST("log_probability is log softmax") {
  const std::vector<float> logits = {1.0f, 2.0f, 3.0f};
  const double z = std::exp(1.0) + std::exp(2.0) + std::exp(3.0);
  CHECK(std::abs(log_probability(logits, 1) - (2 - std::log(z))) < 1e-6);
}
