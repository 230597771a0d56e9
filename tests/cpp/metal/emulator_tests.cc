// The emulator finds each kind of fault, and none where there is none.
#include <cmath>
#include <numeric>

#include "check.h"
#include "emulator.h"

using namespace emulator;

namespace {

constexpr unsigned kThreads = 64;

/// The result of a kernel of faulty.metal; throws Fault.
std::vector<float> result_of(
    const char* name,
    Order order = Order::kForward,
    Edge edge = Edge::kEnd,
    size_t shared_bytes = kThreads * sizeof(float)) {
  Guarded in("in", kThreads * sizeof(float), edge);
  Guarded out("out", kThreads * sizeof(float), edge);
  const auto numbers = in.as<float>();
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  Dispatch dispatch;
  dispatch.threads = kThreads;
  dispatch.buffers = {&in, &out};
  dispatch.threadgroup_bytes = {shared_bytes};
  dispatch.order = order;
  run(kernel(name), dispatch);
  const auto result = out.as<float>();
  return {result.begin(), result.end()};
}

/// What the fault is said to be; fails where there is none.
std::string fault_of(const char* name, Edge edge = Edge::kEnd) {
  try {
    result_of(name, Order::kForward, edge);
  } catch (const Fault& fault) {
    return fault.what();
  }
  throw check::Failure(std::string(name) + " runs without a fault");
}

bool says(const std::string& fault, const char* what) {
  if (fault.find(what) == std::string::npos) {
    throw check::Failure("the fault is \"" + fault + "\"");
  }
  return true;
}

constexpr Order kOrders[] = {
    Order::kForward,
    Order::kBackward,
    Order::kShuffled};

} // namespace

TEST("emulator: a sound kernel has its result, in whatever order") {
  for (Order order : kOrders) {
    const std::vector<float> result = result_of("sound", order);
    for (unsigned i = 0; i < kThreads; i++) {
      CHECK_EQUAL(result[i], static_cast<float>(kThreads - 1 - i));
    }
  }
}

TEST("emulator: a barrier that a thread does not reach is a fault") {
  CHECK(says(fault_of("barrier_of_some"), "not all threads reached"));
}

TEST("emulator: threads that wait at different barriers are a fault") {
  CHECK(says(fault_of("two_barriers"), "different barriers"));
}

TEST("emulator: a SIMD-group function that a lane does not reach is a fault") {
  CHECK(says(fault_of("sum_of_some"), "not all lanes reached"));
}

TEST("emulator: lanes in different SIMD-group functions are a fault") {
  CHECK(says(fault_of("sum_and_max"), "different functions"));
}

TEST("emulator: reads beyond a buffer's guarded edge are a fault") {
  CHECK(says(fault_of("reads_past"), "0 bytes after the end of in"));
  CHECK(says(
      fault_of("reads_before", Edge::kBegin),
      "4 bytes before the begin of in"));
}

TEST("emulator: writes beyond either edge of a buffer are a fault") {
  for (Edge edge : {Edge::kBegin, Edge::kEnd}) {
    CHECK(says(fault_of("writes_past", edge), "after the end of out"));
    CHECK(says(fault_of("writes_before", edge), "before the begin of out"));
  }
}

TEST("emulator: writes beyond threadgroup memory are a fault") {
  CHECK(says(fault_of("shares_past"), "after the end of threadgroup memory"));
}

TEST("emulator: threadgroup memory that nobody wrote is not a number") {
  const std::vector<float> result = result_of("unwritten");
  for (unsigned i = 0; i < kThreads; i++) {
    CHECK_EQUAL(std::isnan(result[i]), i == kThreads - 1 - 7);
  }
}

TEST("emulator: without a barrier the result depends on the order") {
  const std::vector<float> forward = result_of("without_barrier");
  const std::vector<float> backward =
      result_of("without_barrier", Order::kBackward);
  bool same = true;
  for (unsigned i = 0; i < kThreads; i++) {
    same = same && forward[i] == backward[i];
  }
  CHECK(!same);
}

TEST("emulator: more than 32 KB of threadgroup memory are a fault") {
  CHECK_THROWS(
      result_of("sound", Order::kForward, Edge::kEnd, (32 << 10) + 16), Fault);
}

TEST("emulator: a launch that binds too few buffers is a fault") {
  Dispatch dispatch;
  CHECK_THROWS(run(kernel("sound"), dispatch), Fault);
}

TEST("emulator: after a fault the next kernel runs as ever") {
  fault_of("barrier_of_some");
  fault_of("reads_past");
  CHECK_EQUAL(result_of("sound")[0], static_cast<float>(kThreads - 1));
}
