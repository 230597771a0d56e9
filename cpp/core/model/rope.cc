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

void scale_rope_yarn(std::vector<float>& inv_freq, const YarnRope& rope) {
  const double half = static_cast<double>(inv_freq.size());
  // The dimension, a fraction of one too, that turns so often.
  const auto dimension = [&](double turns) {
    return half *
        std::log(rope.original_context / (turns * 2 * std::numbers::pi)) /
        std::log(rope.theta);
  };
  const double fast = dimension(rope.beta_fast);
  const double slow = dimension(rope.beta_slow);
  const double low = std::max(rope.truncate ? std::floor(fast) : fast, 0.0);
  const double high =
      std::min(rope.truncate ? std::ceil(slow) : slow, 2 * half - 1);
  const double width = high == low ? 0.001 : high - low;
  for (size_t i = 0; i < inv_freq.size(); i++) {
    const double stretch =
        std::clamp((static_cast<double>(i) - low) / width, 0.0, 1.0);
    inv_freq[i] =
        static_cast<float>(inv_freq[i] * (1 - stretch + stretch / rope.factor));
  }
}

double yarn_scale(double factor, double mscale, double mscale_all) {
  const auto scale = [&](double weight) {
    return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1;
  };
  return scale(mscale) / scale(mscale_all);
}

} // namespace stomp
