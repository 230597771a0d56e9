// Which experts rows go to: the best ones, in the order of their numbers, with
// weights that say how much better they are.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "exec/cpu/routing.h"

using namespace stomp;
using cpu::Routing;

namespace {

MoeConfig moe_of(int n_experts, int n_chosen, bool normalised) {
  MoeConfig moe;
  moe.n_experts = n_experts;
  moe.n_chosen = n_chosen;
  moe.normalised = normalised;
  return moe;
}

Routing routed(
    const MoeConfig& moe,
    const std::vector<std::vector<float>>& rows) {
  Routing routing;
  routing.reserve(moe, static_cast<int>(rows.size()));
  const size_t stride = moe.n_experts + 3;
  std::vector<float> scores(rows.size() * stride, 1e30f); // padding
  for (size_t r = 0; r < rows.size(); r++) {
    std::copy(rows[r].begin(), rows[r].end(), scores.begin() + r * stride);
  }
  routing.assign(moe, scores.data(), stride, static_cast<int>(rows.size()));
  return routing;
}

/// The weight that an expert has for a row; 0 where it was not chosen.
double weight(const Routing& routing, int expert, int row) {
  for (const Routing::Share& share : routing.of(expert)) {
    if (share.row == row) {
      return share.weight;
    }
  }
  return 0;
}

bool near(double a, double b) {
  return std::fabs(a - b) <= 1e-6;
}

} // namespace

TEST("routing: the best are chosen, their weights add up to one") {
  const MoeConfig moe = moe_of(4, 2, true);
  const Routing routing = routed(moe, {{1, 3, 2, 0}, {9, -1, 5, 9}});
  const double e = std::exp(1.0);
  CHECK(near(weight(routing, 1, 0), e / (1 + e)));
  CHECK(near(weight(routing, 2, 0), 1 / (1 + e)));
  CHECK(routing.of(0).size() == 1 && routing.of(0)[0].row == 1);
  CHECK(near(weight(routing, 0, 1), 0.5));
  CHECK(near(weight(routing, 3, 1), 0.5));
}

TEST("routing: or the weights of all experts do") {
  const Routing routing = routed(moe_of(3, 1, false), {{0, 1, 0}});
  CHECK(near(weight(routing, 1, 0), std::exp(1.0) / (std::exp(1.0) + 2)));
  CHECK(routing.of(0).empty() && routing.of(2).empty());
}

TEST("routing: among equals the lower number, however large the scores") {
  const float large = 3e38f;
  const Routing routing = routed(
      moe_of(5, 2, true), {{1, 1, 1, 1, 1}, {0, large, -large, large, large}});
  CHECK(near(weight(routing, 0, 0), 0.5));
  CHECK(near(weight(routing, 1, 0), 0.5));
  CHECK(near(weight(routing, 1, 1), 0.5));
  CHECK(near(weight(routing, 3, 1), 0.5));
}

TEST("routing: what is no number is chosen last, and stays none") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Routing some = routed(moe_of(3, 2, true), {{nan, 1, 1}});
  CHECK(some.of(0).empty());
  CHECK(near(weight(some, 1, 0), 0.5));
  const Routing none = routed(moe_of(2, 2, true), {{nan, nan}});
  CHECK(std::isnan(none.of(0)[0].weight));
}

TEST("routing: every row has its share, whoever is beside it") {
  std::mt19937 random(5);
  const MoeConfig moe = moe_of(7, 3, true);
  std::vector<std::vector<float>> rows(40, std::vector<float>(7));
  for (std::vector<float>& row : rows) {
    for (float& score : row) {
      score = static_cast<float>(random() % 100) / 10;
    }
  }
  const Routing together = routed(moe, rows);
  size_t shares = 0;
  for (int e = 0; e < moe.n_experts; e++) {
    const auto own = together.of(e);
    shares += own.size();
    for (size_t i = 1; i < own.size(); i++) {
      CHECK(own[i - 1].row < own[i].row);
    }
  }
  CHECK_EQUAL(shares, rows.size() * moe.n_chosen);
  for (size_t r = 0; r < rows.size(); r++) {
    const Routing alone = routed(moe, {rows[r]});
    for (int e = 0; e < moe.n_experts; e++) {
      CHECK_EQUAL(
          weight(together, e, static_cast<int>(r)), weight(alone, e, 0));
    }
  }
}
