#include "base/sync.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace stomp {

int sync_directory(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return errno;
  }
  const int number = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return number == EINVAL ? 0 : number;
}

} // namespace stomp
