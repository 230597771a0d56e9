// rope_table.h: what a position's turns are, and that only what comes up costs.
#include "exec/cpu/rope_table.h"

#include <cmath>

#include "check.h"

using namespace stomp;
using namespace stomp::cpu;

namespace {

ModelConfig config_of(bool interleaved) {
  ModelConfig config;
  config.head_dim = 8;
  config.max_context = 1 << 20;
  config.rope.inv_freq = {1.0f, 0.1f, 0.01f, 0.001f};
  config.rope.interleaved = interleaved;
  return config;
}

void check_turns(const RopeTable& table, int position, bool interleaved) {
  const std::vector<float> inv_freq = config_of(interleaved).rope.inv_freq;
  const RopeTurns turns = table.at(position);
  CHECK_EQUAL(turns.head_dim, 8);
  CHECK_EQUAL(turns.interleaved, interleaved);
  for (int i = 0; i < 4; i++) {
    const double angle = static_cast<double>(position) * inv_freq[i];
    const auto cosine = static_cast<float>(std::cos(angle));
    const auto sine = static_cast<float>(std::sin(angle));
    const int first = interleaved ? 2 * i : i;
    const int second = interleaved ? 2 * i + 1 : i + 4;
    CHECK_EQUAL(turns.cosines[first], cosine);
    CHECK_EQUAL(turns.cosines[second], cosine);
    CHECK_EQUAL(turns.sines[first], -sine);
    CHECK_EQUAL(turns.sines[second], sine);
  }
}

} // namespace

TEST("rope table: the turns of a position, whatever was asked before it") {
  for (const bool interleaved : {false, true}) {
    RopeTable table(config_of(interleaved).rope);
    const std::vector<int> positions = {6143, 6144, 0, 63, 64, 5, 999'999, 127};
    for (size_t n = 1; n <= positions.size(); n++) {
      table.cover(std::span(positions).first(n));
      for (size_t i = 0; i < n; i++) {
        check_turns(table, positions[i], interleaved);
      }
    }
  }
}

TEST("rope table: a far position costs no more than its neighbours") {
  RopeTable near(config_of(false).rope);
  CHECK_EQUAL(near.bytes(), 0u);
  near.cover(std::vector<int>{0});
  RopeTable far(config_of(false).rope);
  far.cover(std::vector<int>{64 * 1000});
  const size_t places = 1000 * sizeof(std::vector<float>);
  CHECK(near.bytes() > 0);
  CHECK_EQUAL(far.bytes(), near.bytes() + places);
  const size_t before = far.bytes();
  far.cover(std::vector<int>{64 * 1000 + 63, 64 * 1000 + 1});
  CHECK_EQUAL(far.bytes(), before);
}
