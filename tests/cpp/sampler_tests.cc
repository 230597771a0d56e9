#include <algorithm>
#include <cmath>
#include <map>
#include <random>

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

// What the sampler promises, said as plainly as possible.
namespace plain {

struct Token {
  double likelihood;
  double logit;
  int32_t id;
};

double uniform(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1.0p-53;
}

double total(const std::vector<Token>& tokens) {
  double sum = 0;
  for (const Token& t : tokens) {
    sum += t.likelihood;
  }
  return sum;
}

std::vector<Token> filtered(
    const std::vector<float>& logits,
    const SamplingOptions& o) {
  std::vector<Token> tokens;
  const double top = *std::ranges::max_element(logits);
  for (size_t i = 0; i < logits.size(); i++) {
    tokens.push_back(
        {std::exp((logits[i] - top) / o.temperature),
         logits[i],
         static_cast<int32_t>(i)});
  }
  std::ranges::stable_sort(
      tokens, [](const Token& a, const Token& b) { return a.logit > b.logit; });
  if (o.top_k > 0 && o.top_k < static_cast<int>(tokens.size())) {
    tokens.resize(o.top_k);
  }
  std::erase_if(
      tokens, [&o](const Token& t) { return t.likelihood < o.min_p; });
  if (o.top_p < 1) {
    const double mass = o.top_p * total(tokens);
    double kept = 0;
    size_t n = 0;
    while (n < tokens.size() && (n == 0 || kept < mass)) {
      kept += tokens[n++].likelihood;
    }
    tokens.resize(n);
  }
  std::ranges::sort(
      tokens, [](const Token& a, const Token& b) { return a.id < b.id; });
  return tokens;
}

int32_t sample(
    const std::vector<float>& logits,
    const SamplingOptions& options,
    double random) {
  const std::vector<Token> tokens = filtered(logits, options);
  double draw = random * total(tokens);
  for (const Token& t : tokens) {
    draw -= t.likelihood;
    if (draw < 0) {
      return t.id;
    }
  }
  return tokens.back().id;
}

/// Whether rounding alone may lead from the plain choice to this one.
bool explains(
    const std::vector<float>& logits,
    const SamplingOptions& options,
    double random,
    int32_t token) {
  constexpr double kEps = 1e-5;
  for (const double e : {0.0, -kEps, kEps}) {
    SamplingOptions o = options;
    o.min_p = static_cast<float>(options.min_p * (1 + e));
    if (options.top_p < 1) {
      o.top_p = static_cast<float>(options.top_p * (1 + e));
    }
    for (const double r : {random, random * (1 - kEps), random * (1 + kEps)}) {
      if (sample(logits, o, r) == token) {
        return true;
      }
    }
  }
  return false;
}

} // namespace plain

template <class T>
T any_of(std::mt19937& random, std::initializer_list<T> values) {
  return values.begin()[random() % values.size()];
}

/// Rows as models make them, flat ones, and ones with many equal logits.
std::vector<float> random_logits(std::mt19937& random) {
  std::vector<float> logits(any_of<size_t>(random, {1, 7, 64, 65, 300, 5000}));
  std::normal_distribution<float> spread(
      0, any_of(random, {0.0f, 0.5f, 3.0f, 12.0f}));
  const bool coarse = random() % 3 == 0;
  for (float& logit : logits) {
    const float value = spread(random) - 20;
    logit = coarse ? std::round(value) : value;
  }
  return logits;
}

SamplingOptions random_options(std::mt19937& random) {
  return {
      .temperature = any_of(random, {0.01f, 0.3f, 0.8f, 1.0f, 1.7f}),
      .top_k = any_of(random, {0, 0, 1, 2, 40, 1000}),
      .top_p = any_of(random, {1.0f, 1.0f, 0.95f, 0.5f, 0.999f, 0.01f}),
      .min_p = any_of(random, {0.0f, 0.0f, 0.05f, 1e-4f, 1.0f}),
      .seed = random()};
}

} // namespace

TEST("sampling chooses what the plainest implementation chooses") {
  std::mt19937 random(20);
  int differ = 0;
  constexpr int kRows = 1500;
  for (int row = 0; row < kRows; row++) {
    const std::vector<float> logits = random_logits(random);
    const SamplingOptions options = random_options(random);
    Sampler sampler;
    for (int index = 0; index < 4; index++) {
      const int32_t token = sampler.sample(logits, options, index);
      const double u = plain::uniform(options.seed, index);
      if (token != plain::sample(logits, options, u)) {
        differ++;
        CHECK(plain::explains(logits, options, u, token));
      }
    }
  }
  CHECK(differ < kRows / 100); // by rounding, at a boundary
}

TEST("sampling fits its distribution") {
  // Pearson's chi-squared over the tokens that are expected often enough.
  std::mt19937 random(21);
  std::normal_distribution<float> spread(0, 2);
  std::vector<float> logits(400);
  for (float& logit : logits) {
    logit = spread(random);
  }
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = 1, .seed = 11},
        SamplingOptions{.temperature = 0.9f, .top_p = 0.9f, .seed = 12},
        SamplingOptions{.temperature = 1.2f, .top_k = 60, .seed = 13},
        SamplingOptions{.temperature = 1, .min_p = 0.02f, .seed = 14}}) {
    constexpr int kDraws = 60000;
    const auto counts = draw(logits, options, kDraws);
    const auto expected = plain::filtered(logits, options);
    const double total = plain::total(expected);
    double chi = 0;
    int bins = 0;
    size_t seen = 0;
    for (const plain::Token& t : expected) {
      const double mean = kDraws * t.likelihood / total;
      const auto found = counts.find(t.id);
      const int n = found == counts.end() ? 0 : found->second;
      seen += found != counts.end();
      if (mean >= 8) {
        chi += (n - mean) * (n - mean) / mean;
        bins++;
      }
    }
    CHECK_EQUAL(seen, counts.size()); // nothing else was ever drawn
    CHECK(std::abs(chi - bins) < 5 * std::sqrt(2.0 * bins));
  }
}

TEST("a cold row or a certain one is no trouble") {
  std::vector<float> logits(200, -1e30f);
  logits[70] = 1e30f;
  for (const float temperature : {1e-40f, 1e-6f, 1.0f, 100.0f}) {
    Sampler sampler;
    CHECK_EQUAL(
        sampler.sample(logits, {.temperature = temperature, .seed = 1}, 0), 70);
    CHECK_EQUAL(
        sampler.sample(
            logits,
            {.temperature = temperature, .top_p = 0.9f, .min_p = 1, .seed = 1},
            0),
        70);
  }
}

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
