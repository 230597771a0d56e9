#include "exec/cpu/step_rows.h"

namespace stomp::cpu {

void StepRows::clear(size_t n_slices) {
  slices.assign(n_slices, {});
  tokens.clear();
  positions.clear();
  slice_of.clear();
  wanted.clear();
}

void StepRows::append(
    size_t index,
    const Slice& slice,
    std::span<const int32_t> ids) {
  SliceRows& rows = slices[index];
  rows.slice = &slice;
  rows.first = n();
  rows.n = static_cast<int>(ids.size());
  rows.first_wanted = n_wanted();
  rows.n_wanted = slice.output == Output::kNone ? 0
      : slice.output == Output::kAllLogits      ? rows.n
                                                : 1;
  for (int i = 0; i < rows.n; i++) {
    tokens.push_back(ids[i]);
    positions.push_back(slice.position + i);
    slice_of.push_back(static_cast<int>(index));
    if (i >= rows.n - rows.n_wanted) {
      wanted.push_back(rows.first + i);
    }
  }
}

} // namespace stomp::cpu
