#pragma once

namespace stomp {

/// Names the calling thread for `top -H`, debuggers and profilers. At most 15
/// characters count.
void name_thread(const char* name);

} // namespace stomp
