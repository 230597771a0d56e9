// See append_case.h.
#include "append_case.h"

namespace paged_rig {

AppendCase::AppendCase(Random& random, CacheShape of)
    : shape(of),
      edge(random.edge()),
      n_rows(random.integer(1, 12)),
      stride(row_size() + 4 * random.integer(0, 3)),
      slots(random.permutation(pool_slots())),
      planes("planes", shape, pool_slots(), edge),
      rows(
          "rows",
          shape.element,
          size_t(n_rows - 1) * stride + row_size(),
          edge) {
  slots.resize(n_rows);
  const float size = random.pick({1e-3f, 1.0f, 30.0f});
  const float shift = random.pick({0.0f, 0.0f, -2.0f, 2.0f});
  for (int row = 0; row < n_rows; row++) {
    for (int i = 0; i < row_size(); i++) {
      rows.set(size_t(row) * stride + i, size * (random.real(-1, 1) + shift));
    }
  }
}

void AppendCase::append() {
  const auto plan = stomp::mlx_exec::metal::plan_append(shape, n_rows, stride);
  const auto slot_list = guarded("slots", slots, edge);
  Buffers buffers{
      {"rows", &rows.memory()},
      {"slots", slot_list.get()},
      {"elements", &planes.elements()}};
  if (shape.bits < 16) {
    buffers["scales"] = &planes.scales();
    buffers["biases"] = &planes.biases();
  }
  run_launch(plan.launch, plan.params, buffers);
}

} // namespace paged_rig
