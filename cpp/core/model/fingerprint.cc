#include "model/fingerprint.h"

namespace stomp {

namespace {

constexpr size_t kWhole = 4096; // bytes up to which a tensor is hashed whole
constexpr size_t kPiece = 512;
constexpr size_t kPieces = 5;

} // namespace

void Fingerprint::add_text(std::string_view text) {
  sha_.update_u64(text.size());
  sha_.update(text);
}

void Fingerprint::add_file(size_t bytes, std::span<const std::byte> header) {
  sha_.update_u64(bytes);
  sha_.update_u64(header.size());
  sha_.update(header);
}

void Fingerprint::add_tensor(std::span<const std::byte> bytes) {
  sha_.update_u64(bytes.size());
  if (bytes.size() <= kWhole) {
    sha_.update(bytes);
    return;
  }
  const size_t step = (bytes.size() - kPiece) / (kPieces - 1);
  for (size_t i = 0; i < kPieces; i++) {
    sha_.update(bytes.subspan(i * step, kPiece));
  }
}

std::string Fingerprint::finish() {
  return hex(sha_.finish(), 16);
}

} // namespace stomp
