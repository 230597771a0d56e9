// Property tests over seeds.
#pragma once

#include <string>

#include "check.h"
#include "paged_rig.h"

namespace paged_rig {

// A sanitizer makes each of a kernel's many switches of stacks take long.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr uint32_t kSeedsOfOne = 12;
#else
inline constexpr uint32_t kSeedsOfOne = 1;
#endif

/// Runs body(random) for n seeds; a failure says of which.
template <typename Body>
void for_seeds(uint32_t first, uint32_t n, Body body) {
  for (uint32_t seed = first; seed < first + n; seed += kSeedsOfOne) {
    try {
      Random random(seed);
      body(random);
    } catch (const std::exception& e) {
      throw check::Failure("seed " + std::to_string(seed) + ": " + e.what());
    }
  }
}

} // namespace paged_rig
