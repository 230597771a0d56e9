// What both kinds of checkpoint need to turn a tensor into our weights. Pure;
// any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/weights.h"

namespace stomp {

/// REQUIRES: a dense format, `size` elements at `data`.
WeightVector to_vector(const std::byte* data, WeightFormat format, int size);

/// "[576, 49152]", for messages.
std::string shape_text(const std::vector<uint64_t>& shape);

} // namespace stomp
