// The texts of cuda/ as MLX is given them.
#include <algorithm>
#include <set>
#include <string>

#include "check.h"
#include "exec/mlx/cuda_kernels.h"

using namespace stomp::mlx_exec;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

metal::DecodePlan plan_of(int bits) {
  const metal::Attention attention{
      .cache =
          {.element = metal::Element::kF16,
           .kv_heads = 2,
           .head_dim = 64,
           .block_tokens = 16,
           .bits = bits,
           .group = bits < 16 ? 64 : 0},
      .n_heads = 8};
  const paged::DecodeRow row{
      .query = 0, .blocks = 0, .base = 0, .first = 0, .end = 5};
  return metal::plan_decode(attention, {&row, 1});
}

} // namespace

TEST("cuda: a kernel's text is whole, plain and short") {
  CHECK(has(cuda::decode_kernel().functions, "void decode("));
  CHECK(has(cuda::combine_kernel().functions, "void combine("));
  for (const cuda::Kernel* kernel :
       {&cuda::decode_kernel(), &cuda::combine_kernel()}) {
    const std::string text = kernel->functions + kernel->body;
    CHECK(has(text, "struct DecodeRow"));
    CHECK(!has(text, "#include"));
    CHECK(!has(text, "\n//"));
    CHECK(std::all_of(text.begin(), text.end(), [](char c) {
      return static_cast<unsigned char>(c) < 128;
    }));
  }
}

TEST("cuda: buffers are those that launches name, each once") {
  const metal::DecodePlan plan = plan_of(16);
  const auto same = [](const cuda::Kernel& kernel,
                       const metal::Launch& launch) {
    std::multiset<std::string> own(kernel.inputs.begin(), kernel.inputs.end());
    own.insert(kernel.outputs.begin(), kernel.outputs.end());
    return own ==
        std::multiset<std::string>(
               launch.buffers.begin(), launch.buffers.end());
  };
  CHECK(same(cuda::decode_kernel(), plan.decode));
  CHECK(same(cuda::combine_kernel(), plan.combine));
}

TEST("cuda: a body uses every buffer, and none by a name that MLX adds to") {
  for (const cuda::Kernel* kernel :
       {&cuda::decode_kernel(), &cuda::combine_kernel()}) {
    for (const auto& names : {kernel->inputs, kernel->outputs}) {
      for (const std::string name : names) {
        CHECK(has(kernel->body, name));
        // MLX would pass more arguments.
        for (const char* more : {"_shape", "_strides", "_ndim"}) {
          CHECK(!has(kernel->body, name + more));
        }
      }
    }
  }
}

TEST("cuda: constants are all that a body asks for, and divide") {
  for (int bits : {16, 8, 4}) {
    for (const cuda::Constant& constant :
         cuda::constants_of(plan_of(bits).decode.constants)) {
      CHECK(has(cuda::decode_kernel().body, constant.name));
      CHECK(has(cuda::combine_kernel().body, constant.name));
      CHECK(constant.is_bool || constant.value > 0);
    }
  }
}
