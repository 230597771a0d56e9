// What this machine's processor offers, read once. Thread-safe.
#pragma once

namespace stomp {

/// Instruction sets that both the processor and the system support.
struct CpuFeatures {
  bool avx2 = false;       // and FMA and F16C
  bool avx512vnni = false; // F, BW, DQ, VL and VNNI
  bool amx = false;        // tiles of bf16 and int8, and AVX512-BF16
  bool dotprod = false;    // Arm: NEON with 8-bit dot products
};

const CpuFeatures& cpu_features();

/// Threads worth running: physical cores that this process may use (affinity
/// mask and, on Linux, the control group's quota), at least 1, at most 32.
int usable_cores();

} // namespace stomp
