#include <cmath>
#include <numeric>

#include "check.h"
#include "engine/scheduler.h"

using namespace stomp;

TEST("a lone prefill gets the whole step") {
  Scheduler s({.prefill_step_tokens = 512});
  std::vector<Load> loads = {{.pending = 2000}};
  CHECK_EQUAL(s.plan(loads)[0], 512);
  std::vector<Load> rest = {{.pending = 100}};
  CHECK_EQUAL(s.plan(rest)[0], 100);
}

TEST("decode rows always go, and prefill costs no more than they do") {
  Scheduler s({.prefill_step_tokens = 512});
  for (int i = 0; i < 50; i++) {
    s.observe({.decode = 0, .prefill = 512}, 0.512); // 1 ms a row
    s.observe({.decode = 3, .prefill = 0}, 0.020);
  }
  std::vector<Load> loads = {
      {.decoding = true},
      {.pending = 4000},
      {.decoding = true},
      {.decoding = true}};
  const std::span<const int> rows = s.plan(loads);
  CHECK_EQUAL(rows[0], 1);
  CHECK_EQUAL(rows[2], 1);
  CHECK_EQUAL(rows[3], 1);
  CHECK(rows[1] >= 18 && rows[1] <= 22);
}

TEST("several prefills share a step, and short ones leave their rest") {
  Scheduler s({.prefill_step_tokens = 120});
  std::vector<Load> loads = {
      {.pending = 10}, {.pending = 1000}, {.pending = 1000}};
  for (int turn = 0; turn < 6; turn++) {
    const std::span<const int> rows = s.plan(loads);
    CHECK_EQUAL(rows[0], 10);
    CHECK(std::accumulate(rows.begin(), rows.end(), 0) <= 120);
    CHECK(rows[1] >= 40 && rows[2] >= 40);
  }
}

TEST("no prefill starves when there are more of them than rows") {
  Scheduler s({.prefill_step_tokens = 4});
  std::vector<int> got(10, 0);
  std::vector<Load> loads(10, {.pending = 1000});
  for (int turn = 0; turn < 100; turn++) {
    const std::span<const int> rows = s.plan(loads);
    CHECK(std::accumulate(rows.begin(), rows.end(), 0) <= 4);
    for (size_t i = 0; i < rows.size(); i++) {
      got[i] += rows[i];
    }
  }
  for (const int rows : got) {
    CHECK(rows >= 20);
  }
}

TEST("a sequence's own cap is honoured") {
  Scheduler s({.prefill_step_tokens = 512});
  std::vector<Load> loads = {{.pending = 500, .max_rows = 64}};
  CHECK_EQUAL(s.plan(loads)[0], 64);
}

TEST("where small chunks cost as much as large ones, answers keep half") {
  // A chunk of a prompt takes 16 ms whatever its size up to 64, a step of
  // answers 3 ms.
  Scheduler s({.prefill_step_tokens = 512, .min_chunk_tokens = 64});
  std::vector<Load> loads = {{.decoding = true}, {.pending = 100000}};
  double total = 0;
  int steps = 0;
  int prompt_rows = 0;
  for (; total < 10; steps++) {
    const int rows = s.plan(loads)[1];
    CHECK(rows == 0 || rows == 64); // worth its price
    const double seconds = rows ? 0.003 + 0.016 : 0.003;
    s.observe({.decode = 1, .prefill = rows}, seconds);
    total += seconds;
    prompt_rows += rows;
  }
  CHECK(steps >= 0.45 * total / 0.003); // half of what they would have alone
  CHECK(prompt_rows >= 64 * 0.4 * total / 0.016); // and the prompt the rest
}

TEST("prompts of one step share it by their weights, over time to a chunk") {
  Scheduler s({.prefill_step_tokens = 256, .min_chunk_tokens = 64});
  std::vector<Load> loads = {
      {.decoding = true},
      {.pending = 1 << 20, .weight = 4},
      {.pending = 1 << 20, .weight = 2},
      {.pending = 1 << 20, .weight = 1}};
  std::vector<double> got(loads.size(), 0);
  double total = 0;
  for (int turn = 0; turn < 500; turn++) {
    const std::span<const int> rows = s.plan(loads);
    for (size_t i = 1; i < loads.size(); i++) {
      CHECK(rows[i] == 0 || rows[i] >= 64 || total > 0);
      got[i] += rows[i];
      total += rows[i];
    }
    for (size_t i = 1; i < loads.size(); i++) {
      CHECK(std::abs(got[i] - total * loads[i].weight / 7) <= 64 + 1);
    }
  }
}
