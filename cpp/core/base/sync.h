// Making what was done to a folder last.
#pragma once

#include <string>

namespace stomp {

/// Flushes a folder's entries: names made, renamed or removed in it. Returns 0,
/// or errno; a file system that cannot sync folders counts as done, nothing is
/// lost that it could keep. Any thread.
int sync_directory(const std::string& path);

} // namespace stomp
