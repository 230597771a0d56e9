// Which experts the rows of a step go to, and with what weights. Reused from
// step to step: after reserve() nothing is allocated. Engine thread.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/moe_config.h"

namespace stomp::cpu {

class Routing {
 public:
  /// A row's part in an expert.
  struct Share {
    int row = 0;
    float weight = 0;
  };

  void reserve(const MoeConfig& moe, int max_rows);
  /// scores (n, stride): what the router yields for each row and expert.
  /// REQUIRES: at most max_rows rows.
  void assign(const MoeConfig& moe, const float* scores, size_t stride, int n);
  /// The rows that go to an expert, ascending.
  std::span<const Share> of(int expert) const;

 private:
  struct Choice {
    int expert = 0;
    float weight = 0;
  };
  void choose(const MoeConfig& moe, const float* scores, Choice* chosen);

  std::vector<int> order_;      // (n_experts)
  std::vector<Choice> choices_; // (n, n_chosen)
  std::vector<int> ends_;       // (n_experts) of their shares
  std::vector<Share> shares_;   // (n * n_chosen), by expert
};

} // namespace stomp::cpu
