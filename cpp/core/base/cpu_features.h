// What this machine's processor offers, read once. Thread-safe.
#pragma once

namespace stomp {

/// Instruction sets that both the processor and the system support.
struct CpuFeatures {
  bool avx2 = false;       // and F16C, which every such processor has
  bool avx512 = false;     // F, BW, DQ and VL
  bool avx512vnni = false; // and VNNI
};

const CpuFeatures& cpu_features();

/// Threads worth running: physical cores that this process may use (affinity
/// mask and, on Linux, the control group's quota), at least 1, at most 32.
int usable_cores();

} // namespace stomp
