// What the executor makes of kernels of its own: it uses them where they do
// what they should. The other tests of this program run on them.
#include "mlx_rig.h"

using namespace stomp;
using mlx_rig::Rig;
using mlx_rig::Setting;

namespace {

std::string isa_of(const Rig& rig) {
  return rig.run->info().isa;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() &&
      text.compare(text.size() - end.size(), end.size(), end) == 0;
}

} // namespace

TEST("mlx kernels: are used, and agree with MLX's operations in every shape") {
  const Rig rig(mlx_rig::small_model(), "cpu");
  CHECK(ends_with(isa_of(rig), ", paged attention"));
  const std::vector<KernelCheck> checks =
      mlx_rig::executor("cpu")->check_kernels();
  CHECK(checks.size() > 20);
  for (const KernelCheck& check : checks) {
    CHECK_EQUAL(check.name + ": " + check.failure, check.name + ": ");
    CHECK(check.difference > 0 || check.microseconds > 0);
  }
}

TEST("mlx kernels: that do not agree are told of and not used") {
  const Setting broken("STOMP_TEST_BROKEN_LAUNCHER", "idle");
  const Rig rig(mlx_rig::small_model(), "cpu");
  CHECK(
      isa_of(rig).find("stock attention (results differ") != std::string::npos);
  for (const KernelCheck& check : mlx_rig::executor("cpu")->check_kernels()) {
    CHECK(!check.failure.empty());
  }
}

TEST("mlx kernels: what an earlier check left in memory passes no later one") {
  const Setting broken("STOMP_TEST_BROKEN_LAUNCHER", "repeating");
  const std::unique_ptr<Executor> executor = mlx_rig::executor("cpu");
  for (const KernelCheck& check : executor->check_kernels()) {
    CHECK_EQUAL(check.name + ": " + check.failure, check.name + ": ");
  }
  for (const KernelCheck& check : executor->check_kernels()) {
    CHECK(!check.failure.empty());
  }
}

TEST("mlx kernels: are left alone when stock operations are asked for") {
  const Setting stock("STOMP_MLX_ATTENTION", "stock");
  const Rig rig(mlx_rig::small_model(), "cpu");
  CHECK(isa_of(rig).find("stock attention (as STOMP_MLX") != std::string::npos);
}
