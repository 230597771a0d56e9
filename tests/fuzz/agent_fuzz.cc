// Any bytes as an agent's cache file: it is read in full or refused with an
// Error. A changed file hardly ever bears the right seal, so each input is
// also tried with its seal and checksums made to fit: what remains are lies
// that only a reader's own checks can find.
#include <cstring>
#include <vector>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/sha256.h"
#include "replay.h"
#include "store/agent_file.h"
#include "store/safetensors_reader.h"

namespace {

fuzz::InputFile& input() {
  static fuzz::InputFile file;
  return file;
}

void read(const std::vector<uint8_t>& bytes) {
  try {
    const stomp::AgentFileReader file(
        input().fill(bytes.data(), bytes.size()), "");
    const stomp::AgentFileHeader& header = file.header();
    (void)file.mismatch(header.fingerprint, header.numerics, header.spec);
    for (size_t i = 0; i < file.blocks().size(); i++) {
      const std::span<const std::byte> block = file.block(i);
      if (block.size() !=
          stomp::stored_block_bytes(header.spec, file.blocks()[i])) {
        std::abort();
      }
      fuzz::touch(block.data(), block.size());
    }
  } catch (const stomp::Error&) {
    // Refused: that is an answer.
  }
}

/// Seals what the bytes say, as whoever wrote them could have.
void seal(std::vector<uint8_t>& bytes) {
  const stomp::SafetensorsFile file(input().fill(bytes.data(), bytes.size()));
  const auto* tokens = file.find("tokens");
  const auto* crcs = file.find("crc32c");
  const auto* digest = file.find("sha256");
  if (!tokens || !crcs || !digest || digest->bytes != 32) {
    return;
  }
  stomp::Sha256 hash;
  hash.update(file.header());
  hash.update({tokens->data, tokens->bytes});
  hash.update({crcs->data, crcs->bytes});
  const stomp::Sha256::Digest sum = hash.finish();
  std::memcpy(
      bytes.data() + (digest->data - file.header().data()),
      sum.data(),
      sum.size());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  read(bytes);
  try {
    seal(bytes);
  } catch (const stomp::Error&) {
    return 0; // no safetensors file at all
  }
  read(bytes);
  return 0;
}
