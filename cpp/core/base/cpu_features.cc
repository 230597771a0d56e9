#include "base/cpu_features.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace stomp {

namespace {

constexpr int kMaxThreads = 32;

#if defined(__x86_64__)
struct Leaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Leaf cpuid(unsigned leaf, unsigned part = 0) {
  Leaf r;
  __get_cpuid_count(leaf, part, &r.a, &r.b, &r.c, &r.d);
  return r;
}

/// The register sets that the system saves on a context switch.
uint64_t saved_state() {
  uint32_t low;
  uint32_t high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

bool all(unsigned bits, std::initializer_list<int> wanted) {
  return std::all_of(
      wanted.begin(), wanted.end(), [bits](int i) { return bits >> i & 1; });
}

/// The tiles are kept from a process until it asks for them.
bool may_use_tiles() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023; // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool has_avx512vnni(const Leaf& extended, uint64_t saved) {
  return (saved & 0xe6) == 0xe6 && all(extended.b, {16, 17, 30, 31}) &&
      all(extended.c, {11});
}

bool has_amx(const Leaf& extended, uint64_t saved) {
  return (saved & 0x60000) == 0x60000 && all(extended.d, {22, 24, 25}) &&
      all(cpuid(7, 1).a, {5}) && may_use_tiles();
}

CpuFeatures detect() {
  CpuFeatures f;
  const Leaf basic = cpuid(1);
  if (!all(basic.c, {27, 28})) { // XGETBV usable, AVX
    return f;
  }
  const uint64_t saved = saved_state();
  const Leaf extended = cpuid(7);
  f.avx2 =
      (saved & 0x6) == 0x6 && all(basic.c, {12, 29}) && all(extended.b, {5});
  f.avx512vnni = f.avx2 && has_avx512vnni(extended, saved);
  f.amx = f.avx512vnni && has_amx(extended, saved);
  return f;
}
#elif defined(__aarch64__)
CpuFeatures detect() {
  CpuFeatures f;
#if defined(__APPLE__)
  f.dotprod = true; // every Mac with such a processor
#elif defined(__linux__)
  f.dotprod = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
  return f;
}
#else
CpuFeatures detect() {
  return {};
}
#endif

#if defined(__linux__)
/// One name per physical core: the list of its hardware threads.
std::string siblings_of(int cpu) {
  std::ifstream in(
      "/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
      "/topology/thread_siblings_list");
  std::string list;
  return std::getline(in, list) ? list : std::to_string(cpu);
}

int allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) {
    return static_cast<int>(std::thread::hardware_concurrency());
  }
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &set)) {
      cores.insert(siblings_of(cpu));
    }
  }
  return static_cast<int>(cores.size());
}

/// Whole processors that the control group's quota comes to.
int quota_cores() {
  std::ifstream in("/sys/fs/cgroup/cpu.max");
  double quota = 0;
  double period = 0;
  // Without a quota the first word is "max", which is no number.
  if (!(in >> quota >> period) || period <= 0) {
    return kMaxThreads;
  }
  return std::max(1, static_cast<int>(std::lround(quota / period)));
}
#elif defined(__APPLE__)
int allowed_cores() {
  int n = 0;
  size_t size = sizeof n;
  // Performance cores only: work is handed out in blocks that the slower ones
  // would finish last.
  if (sysctlbyname("hw.perflevel0.physicalcpu", &n, &size, nullptr, 0) == 0) {
    return n;
  }
  size = sizeof n;
  sysctlbyname("hw.physicalcpu", &n, &size, nullptr, 0);
  return n;
}
int quota_cores() {
  return kMaxThreads;
}
#else
int allowed_cores() {
  return static_cast<int>(std::thread::hardware_concurrency());
}
int quota_cores() {
  return kMaxThreads;
}
#endif

} // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

int usable_cores() {
  return std::clamp(std::min(allowed_cores(), quota_cores()), 1, kMaxThreads);
}

} // namespace stomp
