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

/// YaRN (arXiv 2309.00071): frequencies that turn more than beta_fast times
/// within the original context are kept, those that turn less than beta_slow
/// times are stretched by `factor`, those between blended.
struct YarnRope {
  double theta = 10000;
  double factor = 1;
  double original_context = 4096; // tokens
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true; // the bounds of the blend to whole dimensions
};
void scale_rope_yarn(std::vector<float>& inv_freq, const YarnRope& rope);

/// By how much YaRN scales queries and keys, where nothing else is stated:
/// of its two weights DeepSeek's configurations set the second.
double yarn_scale(double factor, double mscale = 1, double mscale_all = 0);

} // namespace stomp
