// What the executor makes of the kernels of cuda/: it uses them where they do
// what they should. The other tests of this program run on them.
#include "mlx_rig.h"

using namespace stomp;
using mlx_rig::Rig;
using mlx_rig::Setting;

namespace {

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

std::string isa() {
  return Rig(mlx_rig::small_model(), "cpu").run->info().isa;
}

} // namespace

TEST("cuda kernels: are used, and agree with MLX's operations in every shape") {
  for (const char* device : mlx_rig::kDevices) {
    const Rig rig(mlx_rig::small_model(), device);
    CHECK(has(rig.run->info().isa, ", paged decode attention"));
  }
  const std::vector<KernelCheck> checks =
      mlx_rig::executor("cpu:stock")->check_kernels();
  CHECK(checks.size() > 20);
  for (const KernelCheck& check : checks) {
    CHECK_EQUAL(check.name + ": " + check.failure, check.name + ": ");
    CHECK(check.difference > 0);
  }
}

TEST("cuda kernels: that do not agree are told of and not used") {
  const Setting broken("STOMP_TEST_BROKEN_LAUNCHER", "idle");
  CHECK(has(isa(), "stock attention (results differ"));
  for (const KernelCheck& check : mlx_rig::executor("cpu")->check_kernels()) {
    CHECK(!check.failure.empty());
  }
}

TEST("cuda kernels: that cannot be compiled are told of and not used") {
  const Setting broken("STOMP_TEST_BROKEN_LAUNCHER", "refused");
  CHECK(has(isa(), "stock attention (there is no compiler here)"));
}

TEST("cuda kernels: are left alone when stock operations are asked for") {
  const Setting stock("STOMP_MLX_ATTENTION", "stock");
  CHECK(has(isa(), "stock attention (as STOMP_MLX_ATTENTION asks)"));
}
