// Kernels with faults that the emulator has to find, and one without; each puts
// threads' numbers the other way round.
#include <metal_stdlib>

using namespace metal;

#define FAULTY_PARAMETERS                                                \
  const device float *in [[buffer(0)]], device float *out [[buffer(1)]], \
      threadgroup float *shared PAGED_SHARED(0),                         \
      uint3 group [[threadgroup_position_in_grid]],                      \
      uint index [[thread_index_in_threadgroup]],                        \
      uint lane [[thread_index_in_simdgroup]],                           \
      uint simd [[simdgroup_index_in_threadgroup]],                      \
      uint simds [[simdgroups_per_threadgroup]]

inline uint other_end(uint index, uint simds) {
  return simds * 32 - 1 - index;
}

template <typename T>
[[kernel]] void sound(FAULTY_PARAMETERS) {
  shared[index] = in[index];
  threadgroup_barrier(mem_flags::mem_threadgroup);
  out[index] = shared[other_end(index, simds)];
}

template <typename T>
[[kernel]] void without_barrier(FAULTY_PARAMETERS) {
  shared[index] = in[index];
  out[index] = shared[other_end(index, simds)];
}

template <typename T>
[[kernel]] void barrier_of_some(FAULTY_PARAMETERS) {
  shared[index] = in[index];
  if (index != 7) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
  out[index] = shared[other_end(index, simds)];
}

template <typename T>
[[kernel]] void two_barriers(FAULTY_PARAMETERS) {
  shared[index] = in[index];
  if (simd == 0) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
  } else {
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
  out[index] = shared[other_end(index, simds)];
}

template <typename T>
[[kernel]] void sum_of_some(FAULTY_PARAMETERS) {
  out[index] = in[index];
  if (lane < 31) {
    out[index] = simd_sum(in[index]);
  }
}

template <typename T>
[[kernel]] void sum_and_max(FAULTY_PARAMETERS) {
  if (lane < 16) {
    out[index] = simd_sum(in[index]);
  } else {
    out[index] = simd_max(in[index]);
  }
}

template <typename T>
[[kernel]] void unwritten(FAULTY_PARAMETERS) {
  if (index != 7) {
    shared[index] = in[index];
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  out[index] = shared[other_end(index, simds)];
}

template <typename T>
[[kernel]] void reads_past(FAULTY_PARAMETERS) {
  out[index] = in[index + 1];
}

template <typename T>
[[kernel]] void reads_before(FAULTY_PARAMETERS) {
  out[index] = in[int(index) - 1];
}

template <typename T>
[[kernel]] void writes_past(FAULTY_PARAMETERS) {
  out[index + 1] = in[index];
}

template <typename T>
[[kernel]] void writes_before(FAULTY_PARAMETERS) {
  out[int(index) - 1] = in[index];
}

template <typename T>
[[kernel]] void shares_past(FAULTY_PARAMETERS) {
  shared[index + 1] = in[index];
  out[index] = in[index];
}

PAGED_KERNEL("sound", sound, float)
PAGED_KERNEL("without_barrier", without_barrier, float)
PAGED_KERNEL("barrier_of_some", barrier_of_some, float)
PAGED_KERNEL("two_barriers", two_barriers, float)
PAGED_KERNEL("sum_of_some", sum_of_some, float)
PAGED_KERNEL("sum_and_max", sum_and_max, float)
PAGED_KERNEL("unwritten", unwritten, float)
PAGED_KERNEL("reads_past", reads_past, float)
PAGED_KERNEL("reads_before", reads_before, float)
PAGED_KERNEL("writes_past", writes_past, float)
PAGED_KERNEL("writes_before", writes_before, float)
PAGED_KERNEL("shares_past", shares_past, float)
