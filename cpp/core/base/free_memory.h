#pragma once

namespace stomp {

/// Gives memory that was freed back to the system. Allocators keep what they
/// may hand out again; glibc's keeps blocks of up to 32 MB once it has freed
/// one that large, and so nearly all of a model. Any thread; takes
/// milliseconds for each gigabyte.
void return_free_memory();

} // namespace stomp
