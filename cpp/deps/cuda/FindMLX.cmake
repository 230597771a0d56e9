# MLX from its wheel for CUDA, for whoever links to it: the library and its
# headers, nothing of the CUDA toolkit. mlx-c asks for it once more.
#
#   STOMP_MLX_DIR     the unpacked wheel
if(NOT TARGET mlx)
  include(${STOMP_MLX_DIR}/mlx/share/cmake/MLX/MLXTargets.cmake)
  # Libraries of CUDA need not be there when programs are linked.
  set_property(TARGET mlx APPEND PROPERTY
    INTERFACE_LINK_OPTIONS LINKER:--allow-shlib-undefined)
endif()
set(MLX_INCLUDE_DIRS ${STOMP_MLX_DIR}/mlx/include)
set(MLX_LIBRARIES mlx)
set(MLX_FOUND ON)
