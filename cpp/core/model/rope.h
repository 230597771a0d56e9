// Inverse frequencies of rotary embeddings and the ways checkpoints ask for
// them to be scaled. Pure; any thread.
#pragma once

#include <vector>

namespace stomp {

/// theta^(-2i / head_dim), (head_dim / 2). REQUIRES: head_dim even, theta > 0.
std::vector<float> rope_frequencies(int head_dim, double theta);

/// Position interpolation: positions count 1 / factor.
void scale_rope_linear(std::vector<float>& inv_freq, double factor);

/// Llama 3.1: long wavelengths are stretched by `factor`, short ones kept,
/// those between blended.
struct Llama3Rope {
  double factor = 8;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  double original_context = 8192; // tokens
};
void scale_rope_llama3(std::vector<float>& inv_freq, const Llama3Rope& rope);

} // namespace stomp
