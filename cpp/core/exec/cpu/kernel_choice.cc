#include "exec/cpu/kernel_choice.h"

#include "base/cpu_features.h"
#include "base/error.h"

namespace stomp::cpu {

namespace portable {
extern const Kernels table;
}
#ifdef STOMP_X86_KERNELS
namespace avx2 {
extern const Kernels table;
}
namespace avx512vnni {
extern const Kernels table;
}
namespace amx {
extern const TileKernels tile_table;
} // namespace amx
#endif
#ifdef STOMP_ARM_KERNELS
namespace neondot {
extern const Kernels table;
}
#endif

namespace {

#ifdef STOMP_X86_KERNELS
/// Rows of codes stay with the vector units: the matrix units pay for each
/// group's scales with a trip through memory.
const Kernels& amx_kernels() {
  static const Kernels table = [] {
    Kernels t = avx512vnni::table;
    t.isa = "amx";
    t.tiles = &amx::tile_table;
    return t;
  }();
  return table;
}
#endif

std::vector<const Kernels*> find_kernels() {
  std::vector<const Kernels*> found;
#ifdef STOMP_X86_KERNELS
  if (cpu_features().amx) {
    found.push_back(&amx_kernels());
  }
  if (cpu_features().avx512vnni) {
    found.push_back(&avx512vnni::table);
  }
  if (cpu_features().avx2) {
    found.push_back(&avx2::table);
  }
#endif
#ifdef STOMP_ARM_KERNELS
  if (cpu_features().dotprod) {
    found.push_back(&neondot::table);
  }
#endif
  found.push_back(&portable::table);
  return found;
}

} // namespace

const std::vector<const Kernels*>& available_kernels() {
  static const std::vector<const Kernels*> found = find_kernels();
  return found;
}

const Kernels& choose_kernels(const std::string& isa) {
  std::string names;
  for (const Kernels* kernels : available_kernels()) {
    if (isa.empty() || isa == kernels->isa) {
      return *kernels;
    }
    names += names.empty() ? "" : ", ";
    names += kernels->isa;
  }
  throw Error(
      Code::kExecutorUnavailable,
      "this machine has no CPU kernels named \"" + isa +
          "\"; set STOMP_CPU_ISA to one of: " + names + ", or leave it unset",
      {{"isa", isa}});
}

} // namespace stomp::cpu
