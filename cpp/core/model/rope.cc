#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace stomp {

std::vector<float> rope_frequencies(int head_dim, double theta) {
  std::vector<float> inv_freq(head_dim / 2);
  for (int i = 0; i < head_dim / 2; i++) {
    inv_freq[i] = static_cast<float>(std::pow(theta, -2.0 * i / head_dim));
  }
  return inv_freq;
}

void scale_rope_linear(std::vector<float>& inv_freq, double factor) {
  for (float& f : inv_freq) {
    f = static_cast<float>(f / factor);
  }
}

void scale_rope_llama3(std::vector<float>& inv_freq, const Llama3Rope& rope) {
  for (float& f : inv_freq) {
    const double wavelength = 2 * std::numbers::pi / f;
    // 1 keeps the frequency, 0 stretches it in full.
    const double keep = std::clamp(
        (rope.original_context / wavelength - rope.low_freq_factor) /
            (rope.high_freq_factor - rope.low_freq_factor),
        0.0,
        1.0);
    f = static_cast<float>(f * (keep + (1 - keep) / rope.factor));
  }
}

} // namespace stomp
