// Which library a program of the MLX executor's tests is for.
#include "mlx_rig.h"

std::string mlx_rig::built_library() {
#ifdef STOMP_MLX_LIBRARY_PATH
  return STOMP_MLX_LIBRARY_PATH;
#else
  return "";
#endif
}
