#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace stomp {

namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) {
      close(fd);
    }
  }
};

[[noreturn]] void
fail(Code code, const std::string& path, const std::string& why) {
  throw Error(code, path + ": " + why, {{"path", path}});
}

std::string reason(int number) {
  return std::generic_category().message(number);
}

int flag(Advice advice) {
  switch (advice) {
    case Advice::kWillNeed:
      return MADV_WILLNEED;
    case Advice::kSequential:
      return MADV_SEQUENTIAL;
    case Advice::kDontNeed:
      return MADV_DONTNEED;
  }
  return MADV_NORMAL;
}

} // namespace

MappedFile::MappedFile(
    const std::string& path,
    Code missing,
    Code invalid,
    Code unreadable)
    : path_(path) {
  // Non-blocking, so that a FIFO is refused below instead of waited for.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) {
    const bool absent = errno == ENOENT || errno == ENOTDIR;
    fail(
        absent ? missing : unreadable,
        path,
        absent ? "no such file" : "cannot be opened: " + reason(errno));
  }
  struct stat info{};
  if (fstat(file.fd, &info) != 0) {
    fail(unreadable, path, "cannot be examined: " + reason(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    fail(invalid, path, "is not a regular file");
  }
  identity_ = identity(info);
  size_ = static_cast<size_t>(info.st_size);
  if (size_ == 0) {
    return;
  }
  void* address = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) {
    fail(unreadable, path, "cannot be mapped: " + reason(errno));
  }
  data_ = static_cast<std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) {
    munmap(data_, size_);
  }
}

MappedFile::Identity MappedFile::identity(const struct stat& info) {
#if defined(__APPLE__)
  const struct timespec& changed = info.st_ctimespec;
#else
  const struct timespec& changed = info.st_ctim;
#endif
  return {
      static_cast<uint64_t>(info.st_dev),
      static_cast<uint64_t>(info.st_ino),
      static_cast<int64_t>(info.st_size),
      int64_t{changed.tv_sec} * 1'000'000'000 + changed.tv_nsec};
}

bool MappedFile::current() const {
  struct stat info{};
  return stat(path_.c_str(), &info) == 0 && identity(info) == identity_;
}

void MappedFile::advise(Advice advice, size_t offset, size_t length) const {
  if (offset >= size_) {
    return;
  }
  const size_t end = offset + std::min(length, size_ - offset);
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = offset / page * page;
  // A refused hint changes nothing but speed.
  (void)madvise(data_ + begin, end - begin, flag(advice));
}

} // namespace stomp
