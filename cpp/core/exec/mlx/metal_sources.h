// The texts of metal/, compiled into the binary: nothing is looked for at run
// time. Any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace stomp::mlx_exec {

struct MetalSource {
  std::string_view name; // of the file in metal/
  std::string_view text;
};

/// All files; what one includes comes before it.
std::span<const MetalSource> metal_sources();

/// One text that Metal compiles to a library with all kernels: the files one
/// after another, each in place of the line that would include it.
std::string metal_library();

} // namespace stomp::mlx_exec
