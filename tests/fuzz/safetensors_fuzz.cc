// Any bytes as a safetensors file: they are read in full or refused with an
// Error.
#include "base/error.h"
#include "replay.h"
#include "store/safetensors_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fuzz::InputFile input;
  try {
    const stomp::SafetensorsFile file(input.fill(data, size));
    size_t total = file.header().size();
    for (const stomp::SafetensorsTensor& t : file.tensors()) {
      if (file.find(t.name) != &t) {
        std::abort();
      }
      fuzz::touch(t.data, t.bytes);
      total += t.bytes;
    }
    if (total != size) { // tensors fill the file exactly
      std::abort();
    }
  } catch (const stomp::Error&) {
    // Refused: that is an answer.
  }
  return 0;
}
