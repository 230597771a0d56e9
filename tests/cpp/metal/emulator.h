// Runs Metal kernels that a C++ compiler took (include/metal_stdlib) on the
// host: a threadgroup at a time, each of its threads a fibre, 32 of them a
// SIMD-group. Not for use from several threads at once.
//
// What a device would do with it is not told, but these end a run by a Fault:
//   - an access outside of what is bound (guarded.h);
//   - a barrier, or a SIMD-group function, that some threads do not reach, or
//     that threads reach at different places of the text;
//   - threadgroup memory of more than 32 KB.
// Threadgroup memory is all ones at first, NaN: what is read before it is
// written spoils the result. A missing barrier shows as results that differ
// with the order in which threads run, see Order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "guarded.h"

namespace emulator {

inline constexpr unsigned kLanes = 32;
inline constexpr size_t kMostThreadgroupBytes = 32 << 10;

struct Uint3 {
  unsigned x, y, z;
};

/// What a thread knows of itself. Kernels end with these parameters, in this
/// order.
struct Position {
  Uint3 group;    // threadgroup_position_in_grid
  unsigned index; // thread_index_in_threadgroup
  unsigned lane;  // thread_index_in_simdgroup
  unsigned simd;  // simdgroup_index_in_threadgroup
  unsigned simds; // simdgroups_per_threadgroup
};
inline constexpr size_t kPositionParameters = 5;

/// A kernel whose parameters are buffers, threadgroup memory and a position, in
/// this order.
class Kernel {
 public:
  template <typename... P>
  explicit Kernel(void (*function)(P...))
      : memories_(sizeof...(P) - kPositionParameters),
        call_([function](void* const* at, const Position& p) {
          apply(
              function,
              at,
              p,
              std::make_index_sequence<sizeof...(P) - kPositionParameters>());
        }) {}

  /// Buffers and threadgroup memories.
  size_t memories() const { return memories_; }
  void operator()(void* const* at, const Position& p) const { call_(at, p); }

 private:
  template <typename T>
  static T argument(void* at) {
    if constexpr (std::is_reference_v<T>) {
      return *static_cast<std::remove_reference_t<T>*>(at);
    } else {
      return static_cast<T>(at);
    }
  }

  template <typename... P, size_t... I>
  static void apply(
      void (*function)(P...),
      void* const* at,
      const Position& p,
      std::index_sequence<I...>) {
    using Parameters = std::tuple<P...>;
    const auto& [group, index, lane, simd, simds] = p;
    using Grid = std::tuple_element_t<sizeof...(I), Parameters>;
    function(
        argument<std::tuple_element_t<I, Parameters>>(at[I])...,
        Grid{group.x, group.y, group.z},
        index,
        lane,
        simd,
        simds);
  }

  size_t memories_;
  std::function<void(void* const*, const Position&)> call_;
};

/// Which of the threads that can go on does.
enum class Order { kForward, kBackward, kShuffled };

struct Dispatch {
  Uint3 groups{1, 1, 1};
  unsigned threads = kLanes; // of a group; a multiple of 32
  std::vector<Guarded*> buffers;
  std::vector<size_t> threadgroup_bytes;
  Order order = Order::kForward;
};

/// Throws Fault.
void run(const Kernel& kernel, const Dispatch& dispatch);

// What Metal's functions stand on; called within kernels.

using Where = std::source_location;

inline constexpr size_t kLaneBytes = 16;

/// Waits for the SIMD-group's lanes, to each of which `value` is one of at most
/// kLaneBytes; all of them, kLaneBytes apart, until the next call.
const std::byte* exchange(const void* value, size_t bytes, const Where& where);
unsigned current_lane();
/// Waits for the threadgroup's threads.
void barrier(const Where& where);

// Kernels by name, as the texts register them.

const Kernel& kernel(const std::string& name);

struct Register {
  template <typename... P>
  Register(const char* name, void (*function)(P...)) {
    add(name, Kernel(function));
  }
  static void add(const char* name, Kernel kernel);
};

} // namespace emulator
