// How often this thread has asked for memory: the test program's operator new
// counts.
#pragma once

#include <cstdint>

namespace stomp::test {

uint64_t allocations_of_this_thread();

} // namespace stomp::test
