// See kernels.h. Whatever else is needed comes before the kernels, whose
// language has words of its own.
#include "kernels.h"

#include <metal_stdlib>

namespace {

#include "append.metal"
#include "blocks.metal"
#include "decode.metal"
#include "prefill.metal"

} // namespace

void emulator::set_function_constants(
    const stomp::mlx_exec::metal::Constants& constants) {
  const auto all = stomp::mlx_exec::metal::function_constants(constants);
  // By index, as paged_kernel.h declares them.
  int* const ints[] = {
      &head_dim, &block_tokens, &kv_bits, &kv_group, &tile_heads};
  bool* const bools[] = {&windowed, &has_sinks};
  for (size_t i = 0; i < std::size(ints); i++) {
    *ints[i] = all[i].value;
  }
  for (size_t i = 0; i < std::size(bools); i++) {
    *bools[i] = all[std::size(ints) + i].value != 0;
  }
}
