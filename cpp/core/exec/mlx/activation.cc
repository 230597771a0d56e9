// See activation.h.
#include "exec/mlx/activation.h"

namespace stomp::mlx_exec {

namespace {

/// One number of the type of `like`.
Array number(const Graph& graph, float value, const Array& like) {
  return graph.cast(Array::from_floats({&value, 1}), like.dtype());
}

/// The argument of gelu's sigmoid: its tanh form is sigmoid(2 y) with
/// y = sqrt(2 / pi) (g + 0.044715 g^3).
Array gelu_argument(const Graph& graph, const Array& gate) {
  const Array square = graph.multiply(gate, gate);
  const Array factor = graph.add(
      graph.multiply(square, number(graph, 0.071354816273f, gate)),
      number(graph, 1.595769121606f, gate));
  return graph.multiply(gate, factor);
}

Array clamped_swiglu(const Graph& graph, const Array& gate, const Array& up) {
  const Array limit = number(graph, 7, gate);
  const Array g = graph.minimum(gate, limit);
  const Array u =
      graph.maximum(graph.minimum(up, limit), number(graph, -7, gate));
  const Array slope = graph.multiply(g, number(graph, 1.702f, gate));
  return graph.multiply(
      graph.multiply(g, graph.sigmoid(slope)),
      graph.add(u, number(graph, 1, gate)));
}

} // namespace

Array activated(
    const Graph& graph,
    Activation activation,
    const Array& gate,
    const Array& up) {
  switch (activation) {
    case Activation::kGeluTanh: {
      const Array slope = graph.sigmoid(gelu_argument(graph, gate));
      return graph.multiply(graph.multiply(gate, slope), up);
    }
    case Activation::kClampedSwiglu:
      return clamped_swiglu(graph, gate, up);
    default: // kSilu
      return graph.multiply(graph.multiply(gate, graph.sigmoid(gate)), up);
  }
}

} // namespace stomp::mlx_exec
