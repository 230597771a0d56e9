#include "engine/step_mailbox.h"

#include <thread>

#include "allocation_count.h"
#include "check.h"

using namespace stomp;

TEST("a reader that is behind is told once and gets every step in order") {
  StepMailbox box;
  StepEvents step;
  CHECK(!box.put(step)); // nothing to tell
  for (int i = 0; i < 5; i++) {
    step.clear();
    step.events.push_back({1, i});
    step.events.push_back({2, i, 10});
    step.logprobs.push_back({i, -1.0f});
    if (i == 3) {
      step.finished.emplace_back().request = 2;
    }
    CHECK_EQUAL(box.put(step), i == 0);
  }
  StepEvents all;
  box.take(all);
  CHECK_EQUAL(all.events.size(), size_t{10});
  for (int i = 0; i < 5; i++) {
    CHECK_EQUAL(all.events[2 * i].value, i);
    CHECK_EQUAL(all.events[2 * i].total, 0);
    CHECK_EQUAL(all.events[2 * i + 1].total, 10);
  }
  CHECK_EQUAL(all.logprobs.size(), size_t{5});
  for (int i = 0; i < 5; i++) {
    CHECK_EQUAL(all.logprobs[i].token, i);
  }
  CHECK_EQUAL(all.finished.size(), size_t{1});
  CHECK_EQUAL(all.finished[0].request, 2);
  box.take(all);
  CHECK(all.empty());
  CHECK(box.put(step)); // told again
}

TEST("handing steps over allocates nothing") {
  StepMailbox box;
  StepEvents step;
  StepEvents read;
  uint64_t before = 0;
  for (int i = 0; i < 1000; i++) {
    if (i == 20) {
      before = stomp::test::allocations_of_this_thread();
    }
    step.clear();
    for (int request = 0; request < 8; request++) {
      step.events.push_back({request, i});
    }
    box.put(step);
    if (i % 3 == 0) {
      box.take(read);
    }
  }
  CHECK_EQUAL(stomp::test::allocations_of_this_thread(), before);
}

TEST("no event is lost between two threads") {
  constexpr int kEvents = 20000;
  StepMailbox box;
  std::thread writer([&box] {
    StepEvents step;
    for (int i = 0; i < kEvents; i++) {
      step.clear();
      step.events.push_back({1, i});
      box.put(step);
    }
  });
  StepEvents read;
  int next = 0;
  bool ordered = true;
  while (next < kEvents) {
    box.take(read);
    for (const StepEvent& event : read.events) {
      ordered &= event.value == next++;
    }
  }
  writer.join();
  CHECK(ordered);
}
