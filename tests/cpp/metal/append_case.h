// Rows of K or V that go to slots of a small pool.
#pragma once

#include <vector>

#include "paged_rig.h"

namespace paged_rig {

struct AppendCase {
  CacheShape shape;
  Edge edge;
  int n_rows;
  int stride;
  std::vector<int> slots;
  Planes planes;
  Elements rows;

  /// Rows of any size, around 0 or not.
  AppendCase(Random& random, CacheShape shape);

  int pool_slots() const { return 4 * shape.block_tokens; }
  int row_size() const { return shape.kv_heads * shape.head_dim; }
  double row_value(int row, int head, int d) const {
    return rows.get(size_t(row) * stride + head * shape.head_dim + d);
  }
  void append();

  /// Calls body(row, head, element).
  template <typename Body>
  void for_elements(Body body) const {
    for (int row = 0; row < n_rows; row++) {
      for (int head = 0; head < shape.kv_heads; head++) {
        for (int d = 0; d < shape.head_dim; d++) {
          body(row, head, d);
        }
      }
    }
  }
};

/// A shape with codes.
inline CacheShape random_coded_shape(Random& random) {
  CacheShape shape = random_shape(random);
  while (shape.bits == 16) {
    shape = random_shape(random);
  }
  return shape;
}

} // namespace paged_rig
