// See metal_sources.h. metal_sources() itself is generated, see
// metal/CMakeLists.txt.
#include "exec/mlx/metal_sources.h"

#include <algorithm>

namespace stomp::mlx_exec {

std::string metal_library() {
  std::string library;
  for (const MetalSource& source : metal_sources()) {
    std::string_view rest = source.text;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size() - 1) + 1;
      const std::string_view line = rest.substr(0, end);
      if (!line.starts_with("#include \"") &&
          !line.starts_with("#pragma once")) {
        library += line;
      }
      rest.remove_prefix(end);
    }
  }
  return library;
}

} // namespace stomp::mlx_exec
