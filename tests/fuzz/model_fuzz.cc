// Any bytes as a model in a GGUF file: every weight can be read, or it is
// refused with an Error.
#include <vector>

#include "base/error.h"
#include "model/load.h"
#include "replay.h"

namespace {

void read(const stomp::WeightMatrix& w) {
  std::vector<float> row(w.cols);
  for (const int i : {0, w.rows - 1}) {
    stomp::dequantise_row(w, i, row.data());
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fuzz::InputFile input;
  try {
    const stomp::Model model = stomp::load_gguf(input.fill(data, size));
    read(model.weights.embedding);
    read(model.weights.head);
    for (const stomp::LayerWeights& layer : model.weights.layers) {
      for (const stomp::WeightMatrix* w :
           {&layer.q, &layer.k, &layer.v, &layer.o}) {
        read(*w);
      }
      if (layer.experts.empty()) {
        read(layer.down);
      } else {
        read(layer.experts.router);
        read(layer.experts.gate.back());
        read(layer.experts.down.back());
      }
    }
  } catch (const stomp::Error&) {
    // Refused: that is an answer.
  }
  return 0;
}
