// Rows that are appended to the cache, as they are and as codes, and what is
// read back of them.
#include <cmath>

#include "append_case.h"
#include "check.h"
#include "seeds.h"

using namespace paged_rig;

TEST("metal: rows without codes lie in their slots as they were") {
  for_seeds(1, 60, [](Random& random) {
    CacheShape shape = random_shape(random);
    shape.bits = 16;
    AppendCase c(random, shape);
    c.append();
    c.for_elements([&](int r, int head, int d) {
      CHECK_EQUAL(c.planes.value(c.slots[r], head, d), c.row_value(r, head, d));
    });
  });
}

TEST("metal: a code is at most a step from what it stands for") {
  for_seeds(100, 80, [](Random& random) {
    AppendCase c(random, random_coded_shape(random));
    c.append();
    c.for_elements([&](int r, int head, int d) {
      const double is = c.planes.value(c.slots[r], head, d);
      const double was = c.row_value(r, head, d);
      const double step = std::abs(c.planes.scale(c.slots[r], head, d));
      const double bias = std::abs(c.planes.bias(c.slots[r], head, d));
      // Half a step, or one where the scale was shortened to meet the edge;
      // f16 of the row, the bias and, as often as the code says, of the scale,
      // which has fewer digits yet below 2^-14.
      const double top = c.shape.bits == 8 ? 255 : 15;
      const double allowed = 1.001 * step +
          (std::abs(was) + bias + top * step) * std::ldexp(1, -11) +
          (top + 2) * std::ldexp(1, -25);
      CHECK(std::abs(is - was) <= allowed);
    });
  });
}

TEST("metal: an append changes no slot but those it names") {
  for_seeds(200, 30, [](Random& random) {
    AppendCase c(random, random_shape(random));
    for (int slot = 0; slot < c.pool_slots(); slot++) {
      c.planes.fill(slot, random, 1);
    }
    const auto before = c.planes.elements().as<uint8_t>();
    const std::vector<uint8_t> kept(before.begin(), before.end());
    c.append();
    const size_t bytes = kept.size() / c.pool_slots();
    for (size_t i = 0; i < kept.size(); i++) {
      const int slot = static_cast<int>(i / bytes);
      const bool named =
          std::find(c.slots.begin(), c.slots.end(), slot) != c.slots.end();
      CHECK(named || before[i] == kept[i]);
    }
  });
}
