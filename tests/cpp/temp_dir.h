// A folder for one test, removed with everything in it; and whole files in and
// out of strings.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "base/error.h"

class TempDir {
 public:
  TempDir() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "stomp-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) {
      throw std::runtime_error("no temporary folder: " + pattern);
    }
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored; // nothing can be done about it here
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const {
    return path_ + "/" + name;
  }
  size_t files() const {
    const std::filesystem::directory_iterator all(path_);
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }

 private:
  std::string path_;
};

/// In place: cutting a file to nothing first makes some file systems flush it,
/// which costs tests that write thousands of files their time.
inline void write_file(const std::string& path, const std::string& bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const bool written = fd >= 0 &&
      pwrite(fd, bytes.data(), bytes.size(), 0) ==
          static_cast<ssize_t>(bytes.size()) &&
      ftruncate(fd, static_cast<off_t>(bytes.size())) == 0;
  if (fd >= 0) {
    close(fd);
  }
  if (!written) {
    throw std::runtime_error("cannot write " + path);
  }
}

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// "CODE: message" of the stomp::Error that `run` throws; empty if none.
/// Any other exception goes through and fails the test.
template <class Run>
std::string error_of(Run run) {
  try {
    run();
  } catch (const stomp::Error& e) {
    return std::string(stomp::code_name(e.code())) + ": " + e.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// `run` throws an error whose code and message have `part` in them.
#define CHECK_MESSAGE(run, part)                                          \
  do {                                                                    \
    const std::string said = error_of([&] { (void)(run); });              \
    if (!contains(said, part)) {                                          \
      check::fail(                                                        \
          __FILE__,                                                       \
          __LINE__,                                                       \
          std::string(#run " said '") + said + "', expected '" + (part) + \
              "'");                                                       \
    }                                                                     \
  } while (0)
