#include "store/safetensors_writer.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <system_error>

#include "base/error.h"
#include "base/sync.h"
#include "base/utf8.h"

namespace stomp {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kBufferBytes = size_t{256} << 10;
constexpr uint64_t kMaxHeaderBytes = 100'000'000; // as readers allow
constexpr uint64_t kMaxFileBytes = std::numeric_limits<int64_t>::max();

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(
      Code::kCachePersistence, path + ": not saved: " + why, {{"path", path}});
}

std::string cause(int number) {
  std::string text = std::generic_category().message(number);
  switch (number) {
    case ENOSPC:
      return "the disk is full (" + text + "); free some space";
    case EDQUOT:
      return "the disk quota is used up (" + text + "); free some space";
    case EACCES:
    case EPERM:
    case EROFS:
      return text + "; choose a directory that can be written to";
    default:
      return text;
  }
}

void append_json(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

/// Builds the header's JSON text; knows the size of the data when done.
class Header {
 public:
  explicit Header(const std::string& path) : path_(path) {}

  void metadata(const SafetensorsFile::Metadata& metadata) {
    key("__metadata__");
    text_ += '{';
    for (size_t i = 0; i < metadata.size(); i++) {
      text_ += i > 0 ? "," : "";
      string(metadata[i].first);
      text_ += ':';
      string(metadata[i].second);
    }
    text_ += '}';
  }

  void tensor(const TensorDeclaration& t) {
    const uint64_t begin = data_;
    data_ += bytes_of(t);
    if (data_ > kMaxFileBytes) {
      refuse(path_, "tensor '" + t.name + "' is larger than any file");
    }
    key(t.name);
    text_ += "{\"dtype\":\"";
    text_ += dtype_name(t.dtype);
    text_ += "\",\"shape\":[";
    for (size_t d = 0; d < t.shape.size(); d++) {
      text_ += (d > 0 ? "," : "") + std::to_string(t.shape[d]);
    }
    text_ += "],\"data_offsets\":[" + std::to_string(begin) + "," +
        std::to_string(data_) + "]}";
  }

  uint64_t data_bytes() const { return data_; }

  /// Length field, text and padding.
  std::string finish() {
    text_ += '}';
    const size_t unpadded = sizeof(uint64_t) + text_.size();
    text_.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
    if (text_.size() > kMaxHeaderBytes) {
      refuse(path_, "its header is larger than 100 MB");
    }
    const uint64_t n = text_.size();
    std::string out(sizeof n, '\0');
    std::memcpy(out.data(), &n, sizeof n);
    return out + text_;
  }

 private:
  void key(std::string_view name) {
    text_ += text_.size() > 1 ? "," : "";
    string(name);
    text_ += ':';
  }

  void string(std::string_view text) {
    if (valid_utf8_prefix(text) != text.size()) {
      refuse(path_, "a name or metadata value is not UTF-8");
    }
    append_json(text_, text);
  }

  uint64_t bytes_of(const TensorDeclaration& t) const {
    uint64_t n = dtype_bytes(t.dtype);
    for (const uint64_t dim : t.shape) {
      if (dim != 0 && n > kMaxFileBytes / 2 / dim) {
        refuse(path_, "tensor '" + t.name + "' is larger than any file");
      }
      n *= dim;
    }
    return n;
  }

  const std::string& path_;
  std::string text_ = "{";
  uint64_t data_ = 0;
};

/// False when the file system says that it has less room than this.
bool fits(int fd, uint64_t bytes) {
  struct statvfs disk{};
  const bool known = fstatvfs(fd, &disk) == 0 && disk.f_blocks > 0;
  return !known || disk.f_frsize == 0 || bytes / disk.f_frsize < disk.f_bavail;
}

std::string temporary_name(const std::string& path) {
  static std::atomic<uint64_t> n = 0;
  return path + "." + std::to_string(getpid()) + "-" + std::to_string(n++) +
      ".tmp";
}

} // namespace

bool is_writer_temporary(std::string_view name) {
  constexpr std::string_view kEnd = ".tmp";
  if (!name.ends_with(kEnd)) {
    return false;
  }
  name.remove_suffix(kEnd.size());
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) {
    return false;
  }
  name.remove_prefix(dot + 1);
  const size_t dash = name.find('-');
  return dash != 0 && dash < name.size() - 1 &&
      name.find_first_not_of("0123456789-") == std::string_view::npos;
}

SafetensorsWriter::SafetensorsWriter(
    const std::string& path,
    const std::vector<TensorDeclaration>& tensors,
    const SafetensorsFile::Metadata& metadata)
    : path_(path) {
  Header header(path_);
  if (!metadata.empty()) {
    header.metadata(metadata);
  }
  for (const TensorDeclaration& t : tensors) {
    header.tensor(t);
  }
  header_ = header.finish();
  total_ = header_.size() + header.data_bytes();
  buffer_.reserve(kBufferBytes);
  create();
  reserve();
  append(this->header());
}

SafetensorsWriter::~SafetensorsWriter() {
  discard();
}

void SafetensorsWriter::fail(const char* what, int number) {
  discard();
  throw Error(
      Code::kCachePersistence,
      path_ + ": not saved: " + what + ": " + cause(number),
      {{"path", path_}, {"errno", std::to_string(number)}});
}

void SafetensorsWriter::create() {
  temporary_ = temporary_name(path_);
  // Readable by its owner only: caches hold conversations.
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd_ < 0) {
    const int number = errno;
    temporary_.clear();
    fail("creating the file", number);
  }
}

void SafetensorsWriter::reserve() {
  // Asked first, because some file systems fill the disk to the brim before
  // they find that a reservation does not fit.
  if (!fits(fd_, total_)) {
    fail("reserving space", ENOSPC);
  }
#if defined(__linux__)
  int rc = 0;
  do {
    rc = fallocate(fd_, 0, 0, static_cast<off_t>(total_));
  } while (rc != 0 && errno == EINTR);
  // Some file systems cannot reserve; the writes will tell then.
  if (rc != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
    fail("reserving space", errno);
  }
#endif
}

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  if (fd_ < 0) {
    throw std::logic_error("append() to a finished or failed file");
  }
  if (bytes.size() > total_ - appended_) {
    throw std::logic_error("append() of more bytes than were declared");
  }
  appended_ += bytes.size();
  if (buffer_.size() + bytes.size() > kBufferBytes) {
    flush();
  }
  if (bytes.size() > kBufferBytes) {
    write(bytes);
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
}

void SafetensorsWriter::flush() {
  write(buffer_);
  buffer_.clear();
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      fail("writing", errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void SafetensorsWriter::sync(int fd, const char* what) {
#if defined(__APPLE__)
  // fsync leaves the data in the drive's own cache there.
  if (fcntl(fd, F_FULLFSYNC) == 0) {
    return;
  }
#endif
  if (fsync(fd) != 0) {
    fail(what, errno);
  }
}

uint64_t SafetensorsWriter::finish() {
  if (fd_ < 0 || appended_ != total_) {
    throw std::logic_error("finish() before every declared byte was appended");
  }
  flush();
  sync(fd_, "flushing");
  const int fd = fd_;
  fd_ = -1;
  if (close(fd) != 0) {
    fail("closing", errno);
  }
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail("renaming", errno);
  }
  temporary_.clear();
  const std::string parent =
      std::filesystem::path(path_).parent_path().string();
  const int number = sync_directory(parent.empty() ? "." : parent);
  if (number != 0) {
    fail("flushing the directory", number);
  }
  return total_;
}

void SafetensorsWriter::discard() noexcept {
  if (fd_ >= 0) {
    close(fd_);
    fd_ = -1;
  }
  if (!temporary_.empty()) {
    unlink(temporary_.c_str());
    temporary_.clear();
  }
}

} // namespace stomp
