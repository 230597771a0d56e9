// What the fuzz targets share: a file of the input's bytes that a reader can
// map, and, under STOMP_FUZZ_REPLAY, a main() that runs the files named on the
// command line through LLVMFuzzerTestOneInput, for compilers without libFuzzer.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace fuzz {

/// One file a process, removed when it ends; not for several threads.
class InputFile {
 public:
  InputFile() {
    const char* dir = std::getenv("TMPDIR");
    path_ = std::string(dir != nullptr ? dir : "/tmp") + "/stomp-fuzz-XXXXXX";
    fd_ = mkstemp(path_.data());
    require(fd_ >= 0);
  }
  ~InputFile() {
    close(fd_);
    unlink(path_.c_str());
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& fill(const uint8_t* data, size_t size) {
    require(pwrite(fd_, data, size, 0) == static_cast<ssize_t>(size));
    require(ftruncate(fd_, static_cast<off_t>(size)) == 0);
    return path_;
  }

 private:
  void require(bool good) const {
    if (!good) {
      std::perror(path_.c_str());
      std::abort();
    }
  }

  std::string path_;
  int fd_ = -1;
};

/// Reads every byte, so that a wrong pointer shows.
inline void touch(const std::byte* data, size_t size) {
  unsigned sum = 0;
  for (size_t i = 0; i < size; i++) {
    sum += std::to_integer<unsigned>(data[i]);
  }
  volatile unsigned read = sum; // keeps the reads from being left out
  (void)read;
}

} // namespace fuzz

#if defined(STOMP_FUZZ_REPLAY)
int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    std::ifstream in(argv[i], std::ios::binary);
    if (!in) {
      std::fprintf(stderr, "%s: cannot be read\n", argv[i]);
      return 1;
    }
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    LLVMFuzzerTestOneInput(
        reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    std::printf("%s: %zu bytes\n", argv[i], bytes.size());
  }
  return 0;
}
#endif
