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
namespace avx512 {
extern const Kernels table;
}
namespace avx512vnni {
extern const Kernels table;
}
#endif

namespace {

std::vector<const Kernels*> find_kernels() {
  std::vector<const Kernels*> found;
#ifdef STOMP_X86_KERNELS
  if (cpu_features().avx512vnni) {
    found.push_back(&avx512vnni::table);
  }
  if (cpu_features().avx512) {
    found.push_back(&avx512::table);
  }
  if (cpu_features().avx2) {
    found.push_back(&avx2::table);
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
