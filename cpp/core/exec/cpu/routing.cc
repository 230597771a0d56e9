#include "exec/cpu/routing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace stomp::cpu {

namespace {

/// What is no number is chosen last: comparisons must have an order.
float rank(float score) {
  return std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
}

} // namespace

void Routing::reserve(const MoeConfig& moe, int max_rows) {
  const size_t most = static_cast<size_t>(max_rows) * moe.n_chosen;
  order_.resize(moe.n_experts);
  ends_.resize(moe.n_experts);
  choices_.resize(most);
  shares_.resize(most);
}

/// The n_chosen best, the lower number first among equals; left in ascending
/// order, so that their outputs are always added in the same.
void Routing::choose(
    const MoeConfig& moe,
    const float* scores,
    Choice* chosen) {
  std::iota(order_.begin(), order_.end(), 0);
  const auto end = order_.begin() + moe.n_chosen;
  std::partial_sort(order_.begin(), end, order_.end(), [&](int a, int b) {
    const float x = rank(scores[a]);
    const float y = rank(scores[b]);
    return x > y || (x == y && a < b);
  });
  // In double: what libraries differ in is rounded away.
  const double top = scores[order_[0]];
  const int counted = moe.normalised ? moe.n_chosen : moe.n_experts;
  double total = 0;
  for (int i = 0; i < counted; i++) {
    const int expert = moe.normalised ? order_[i] : i;
    total += std::exp(scores[expert] - top);
  }
  std::sort(order_.begin(), end);
  for (int i = 0; i < moe.n_chosen; i++) {
    const int expert = order_[i];
    chosen[i] = {
        expert, static_cast<float>(std::exp(scores[expert] - top) / total)};
  }
}

void Routing::assign(
    const MoeConfig& moe,
    const float* scores,
    size_t stride,
    int n) {
  std::fill(ends_.begin(), ends_.end(), 0);
  const int n_choices = n * moe.n_chosen;
  for (int row = 0; row < n; row++) {
    choose(moe, scores + row * stride, &choices_[row * moe.n_chosen]);
  }
  for (int i = 0; i < n_choices; i++) {
    ends_[choices_[i].expert]++;
  }
  // First where each expert's shares begin; as these are put, where they end.
  std::exclusive_scan(ends_.begin(), ends_.end(), ends_.begin(), 0);
  for (int i = 0; i < n_choices; i++) {
    const Choice& choice = choices_[i];
    shares_[ends_[choice.expert]++] = {i / moe.n_chosen, choice.weight};
  }
}

std::span<const Routing::Share> Routing::of(int expert) const {
  const int begin = expert > 0 ? ends_[expert - 1] : 0;
  return std::span(shares_).subspan(begin, ends_[expert] - begin);
}

} // namespace stomp::cpu
