// See cuda_kernels.h. sources() itself is generated, see cuda/CMakeLists.txt.
#include "exec/mlx/cuda_kernels.h"

#include <algorithm>

namespace stomp::mlx_exec::cuda {

namespace {

constexpr const char* kDecodeInputs[] = {
    "queries",
    "keys",
    "key_scales",
    "key_biases",
    "values",
    "value_scales",
    "value_biases",
    "rows",
    "block_ids",
    "params"};
constexpr const char* kDecodeOutputs[] = {"partial_out", "partial_sum"};
constexpr const char* kCombineInputs[] = {
    "partial_out", "partial_sum", "rows", "sinks", "params"};
constexpr const char* kCombineOutputs[] = {"out"};

constexpr std::string_view kBody = ".body.cuh";

std::string_view text_of(std::string_view name) {
  const auto all = sources();
  return std::find_if(
             all.begin(),
             all.end(),
             [&](const Source& source) { return source.name == name; })
      ->text;
}

} // namespace

std::string functions() {
  std::string all;
  for (const Source& source : sources()) {
    if (source.name.ends_with(kBody)) {
      continue;
    }
    std::string_view rest = source.text;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size() - 1) + 1;
      const std::string_view line = rest.substr(0, end);
      if (!line.starts_with("#include \"") &&
          !line.starts_with("#pragma once")) {
        all += line;
      }
      rest.remove_prefix(end);
    }
  }
  return all;
}

const Kernel& decode_kernel() {
  static const Kernel kernel{
      "stomp_paged_decode",
      kDecodeInputs,
      kDecodeOutputs,
      text_of("decode.body.cuh")};
  return kernel;
}

const Kernel& combine_kernel() {
  static const Kernel kernel{
      "stomp_paged_combine",
      kCombineInputs,
      kCombineOutputs,
      text_of("combine.body.cuh")};
  return kernel;
}

int decode_shared_bytes(const metal::Launch& decode) {
  // Queries are kept in registers.
  return decode.threadgroup_bytes[1] + decode.threadgroup_bytes[2];
}

std::array<Constant, 6> constants_of(const metal::Constants& constants) {
  return {{
      {"head_dim", constants.head_dim, false},
      {"block_tokens", constants.block_tokens, false},
      {"kv_bits", constants.kv_bits, false},
      // It divides, also where nothing is coded.
      {"kv_group", constants.kv_bits < 16 ? constants.kv_group : 64, false},
      {"tile_heads", constants.tile_heads, false},
      {"has_sinks", constants.has_sinks, true},
  }};
}

} // namespace stomp::mlx_exec::cuda
