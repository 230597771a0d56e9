// Property tests over seeds.
#pragma once

#include <string>

#include "check.h"
#include "paged_rig.h"

namespace paged_rig {

/// Runs body(random) for n seeds; a failure says of which.
template <typename Body>
void for_seeds(uint32_t first, uint32_t n, Body body) {
  for (uint32_t seed = first; seed < first + n; seed++) {
    try {
      Random random(seed);
      body(random);
    } catch (const std::exception& e) {
      throw check::Failure("seed " + std::to_string(seed) + ": " + e.what());
    }
  }
}

} // namespace paged_rig
