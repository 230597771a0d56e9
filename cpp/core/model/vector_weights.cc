#include "model/vector_weights.h"

namespace stomp {

WeightVector to_vector(const std::byte* data, WeightFormat format, int size) {
  WeightMatrix row;
  row.format = format;
  row.rows = 1;
  row.cols = size;
  row.data = data;
  WeightVector out(size);
  dequantise_row(row, 0, out.data());
  return out;
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (const uint64_t n : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  }
  return text + "]";
}

} // namespace stomp
