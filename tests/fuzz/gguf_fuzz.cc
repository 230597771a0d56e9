// Any bytes as a GGUF file: they are read in full or refused with an Error.
#include "base/error.h"
#include "replay.h"
#include "store/gguf_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fuzz::InputFile input;
  try {
    const stomp::GgufFile file(input.fill(data, size));
    for (const stomp::GgufEntry& entry : file.metadata()) {
      if (file.find_metadata(entry.key) != &entry) {
        std::abort();
      }
      (void)file.value(entry);
    }
    for (const stomp::GgufTensor& t : file.tensors()) {
      if (file.find_tensor(t.name) != &t) {
        std::abort();
      }
      fuzz::touch(t.data, t.bytes);
    }
  } catch (const stomp::Error&) {
    // Refused: that is an answer.
  }
  return 0;
}
