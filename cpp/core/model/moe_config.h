// Mixtures of experts: instead of one feed-forward a layer has many small
// ones, of which a router chooses a few for each token.
#pragma once

#include <vector>

namespace stomp {

struct MoeConfig {
  int n_experts = 0; // 0: every layer has one feed-forward
  int n_chosen = 0;  // for each token
  int d_ff = 0;      // of one expert
  // The chosen experts' weights add up to 1; else those of all experts do.
  bool normalised = true;
  bool biases = false;     // the router and the experts have biases
  std::vector<bool> dense; // by layer: has one feed-forward; empty: none has

  bool in_layer(int layer) const {
    return n_experts > 0 && (dense.empty() || !dense[layer]);
  }
};

} // namespace stomp
