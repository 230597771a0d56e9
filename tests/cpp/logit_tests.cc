// What is done to a row of logits before and beside the choice.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "check.h"
#include "engine/guidance.h"
#include "engine/sampler.h"

using namespace stomp;

namespace {

std::vector<float> random_row(std::mt19937& random, size_t size) {
  std::normal_distribution<float> spread(0, 4);
  std::vector<float> row(size);
  for (float& logit : row) {
    logit = spread(random);
  }
  return row;
}

} // namespace

TEST("presence and frequency count the answer, repetition the prompt too") {
  const std::vector<int32_t> prompt = {0, 1};
  LogitChanges changes(
      {.repetition_penalty = 2,
       .presence_penalty = 0.5f,
       .frequency_penalty = 0.25f,
       .bias = {}},
      prompt);
  changes.said(1);
  changes.said(2);
  changes.said(2);
  std::vector<float> row = {4, -4, 4, 4};
  changes.apply(row);
  CHECK_EQUAL(row[0], 2.0f);
  CHECK_EQUAL(row[1], -8.0f - 0.5f - 0.25f);
  CHECK_EQUAL(row[2], 2.0f - 0.5f - 0.5f);
  CHECK_EQUAL(row[3], 4.0f);
}

TEST("the bias comes before the penalties") {
  LogitChanges changes(
      {.repetition_penalty = 2, .bias = {{0, 3.0f}, {1, -100.0f}}}, {});
  changes.said(0);
  std::vector<float> row = {1, 1};
  changes.apply(row);
  CHECK_EQUAL(row[0], 2.0f);
  CHECK_EQUAL(row[1], 1.0f); // ruled out, not changed
  CHECK_EQUAL(changes.ruled_out().size(), size_t{1});
  CHECK_EQUAL(changes.ruled_out()[0], 1);
}

TEST("penalties are what counting the whole history makes of them") {
  std::mt19937 random(3);
  for (int round = 0; round < 50; round++) {
    const LogitOptions options{
        .repetition_penalty = 0.5f + static_cast<float>(random() % 4) / 2,
        .presence_penalty = static_cast<float>(random() % 5) - 2,
        .frequency_penalty = static_cast<float>(random() % 5) / 2 - 1,
        .bias = {}};
    std::vector<int32_t> prompt(random() % 20);
    std::vector<int32_t> said(random() % 20);
    for (auto* list : {&prompt, &said}) {
      std::ranges::generate(
          *list, [&random] { return static_cast<int32_t>(random() % 30); });
    }
    LogitChanges changes(options, prompt);
    for (const int32_t token : said) {
      changes.said(token);
    }
    const std::vector<float> before = random_row(random, 30);
    std::vector<float> row = before;
    changes.apply(row);
    for (int32_t t = 0; t < 30; t++) {
      const auto times = static_cast<float>(std::ranges::count(said, t));
      float plain = before[t];
      if (times > 0 || std::ranges::count(prompt, t) > 0) {
        plain = plain > 0 ? plain / options.repetition_penalty
                          : plain * options.repetition_penalty;
      }
      plain -= options.presence_penalty * (times > 0 ? 1 : 0);
      plain -= options.frequency_penalty * times;
      CHECK(std::abs(row[t] - plain) < 1e-5);
    }
  }
}

TEST("log-probabilities are log softmax, the likeliest first") {
  std::mt19937 random(4);
  Logprobs logprobs;
  for (const size_t size : {1, 2, 63, 64, 65, 500}) {
    for (const int top : {0, 1, 5, 20}) {
      std::vector<float> row = random_row(random, size);
      if (random() % 2) { // many that are equal
        std::ranges::transform(
            row, row.begin(), [](float x) { return std::round(x); });
      }
      const auto token = static_cast<int32_t>(random() % size);
      const auto found = logprobs.of(row, token, top);
      CHECK_EQUAL(found.size(), 1 + std::min<size_t>(size, top));
      CHECK_EQUAL(found[0].token, token);
      std::vector<int32_t> order(size);
      for (size_t i = 0; i < size; i++) {
        order[i] = static_cast<int32_t>(i);
      }
      std::ranges::stable_sort(
          order, [&row](int32_t a, int32_t b) { return row[a] > row[b]; });
      for (size_t i = 0; i < found.size(); i++) {
        CHECK(
            std::abs(found[i].logprob - log_probability(row, found[i].token)) <
            2e-6);
        CHECK(i == 0 || found[i].token == order[i - 1]);
      }
    }
  }
}

TEST("thoughts are ended at their limit, from where their end had begun") {
  ThoughtLimit limit({7, 8, 9}, 3);
  limit.said(1);
  limit.said(7);
  CHECK(!limit.due());
  limit.said(8);
  CHECK_EQUAL(*limit.due(), 9);
  limit.said(9);
  CHECK(!limit.due());
}

TEST("an end that repeats itself is found however it begins") {
  ThoughtLimit limit({1, 1, 2}, 0);
  CHECK_EQUAL(*limit.due(), 1);
  for (const int32_t token : {1, 1, 1}) {
    limit.said(token);
  }
  CHECK_EQUAL(*limit.due(), 2);
  limit.said(3); // something else had its way
  CHECK_EQUAL(*limit.due(), 1);
}

TEST("thoughts that end by themselves, or have no limit, are left alone") {
  ThoughtLimit limit({5}, 2);
  limit.said(5);
  limit.said(1);
  limit.said(1);
  CHECK(!limit.due());
  ThoughtLimit none({}, 0);
  none.said(1);
  CHECK(!none.due());
}

TEST("rows that hold no numbers are known for it") {
  std::vector<float> row(130, -1e30f);
  CHECK(all_finite(row));
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(),
        std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    row[129] = bad;
    CHECK(!all_finite(row));
  }
}
