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
constexpr const char* kCombineInputs[] =
    {"partial_out", "partial_sum", "rows", "sinks", "params"};
constexpr const char* kCombineOutputs[] = {"out"};

std::string_view text_of(std::string_view name) {
  const auto all = sources();
  return std::find_if(
             all.begin(),
             all.end(),
             [&](const Source& source) { return source.name == name; })
      ->text;
}

/// Whether a compiler that is given all files in one text can do without it.
bool is_idle(std::string_view line) {
  const size_t first = line.find_first_not_of(" \n");
  if (first == std::string_view::npos) {
    return true;
  }
  line.remove_prefix(first);
  return line.starts_with("//") || line.starts_with("#include \"") ||
      line.starts_with("#pragma once");
}

std::string code_of(std::string_view file) {
  std::string code;
  std::string_view rest = text_of(file);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size() - 1) + 1;
    if (!is_idle(rest.substr(0, end))) {
      code += rest.substr(0, end);
    }
    rest.remove_prefix(end);
  }
  return code;
}

} // namespace

const Kernel& decode_kernel() {
  static const Kernel kernel{
      "stomp_paged_decode",
      kDecodeInputs,
      kDecodeOutputs,
      code_of("paged_layout.h") + code_of("paged_kernel.cuh") +
          code_of("decode.cuh"),
      code_of("decode.body.cuh")};
  return kernel;
}

const Kernel& combine_kernel() {
  static const Kernel kernel{
      "stomp_paged_combine",
      kCombineInputs,
      kCombineOutputs,
      code_of("paged_layout.h") + code_of("paged_kernel.cuh") +
          code_of("combine.cuh"),
      code_of("combine.body.cuh")};
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
