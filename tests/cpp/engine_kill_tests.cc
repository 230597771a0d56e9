// Killed at any byte of a write, or between two system calls of it, the disk
// has the old state or the new one.
#if defined(__linux__) && !defined(__SANITIZE_THREAD__)
#include <cerrno>
#include <cstddef>
#include <filesystem>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace fs = std::filesystem;

namespace {

#if defined(__NR_rename)
constexpr uint32_t kRename = __NR_rename;
#else
constexpr uint32_t kRename = __NR_renameat;
#endif

EngineOptions in(const TempDir& dir) {
  EngineOptions o;
  o.cache_dir = dir.path();
  return o;
}

std::string folder(const TempDir& dir) {
  return dir.path() + "/feedbeef";
}

/// What becomes of this process's system calls of that number from now on.
void answer_call(uint32_t number, uint32_t action) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  sock_fprog program{std::size(code), code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    throw std::runtime_error("this system cannot filter system calls");
  }
}

/// The process ends when a file grows past so many bytes: in the middle of any
/// write.
void end_past(rlim_t bytes) {
  // The reservation of a whole file would be the first to go past.
  answer_call(__NR_fallocate, SECCOMP_RET_ERRNO | EOPNOTSUPP);
  const rlimit limit{bytes, bytes};
  setrlimit(RLIMIT_FSIZE, &limit); // SIGXFSZ kills by default
}

std::vector<int32_t> old_tokens() {
  return joined(words(70, 7), answer(words(70, 7), 3));
}

std::vector<int32_t> new_prompt() {
  return joined(words(100, 1), words(40, 2));
}

void save_old_state(const TempDir& dir) {
  Bench b(128, in(dir));
  b.finish(b.submit("b", words(70, 7), 4));
  b.save("b");
}

/// With another agent the beginning goes into a segment, written first.
void save_new_state(const TempDir& dir, bool shared) {
  Bench b(128, in(dir));
  if (shared) {
    b.finish(b.submit("a", words(100, 1), 4));
  }
  b.finish(b.submit("b", new_prompt(), 4));
  b.save("b");
  if (shared) {
    b.save("a");
  }
}

/// Saves a new state in a process of its own, which `prepare` may have ended
/// in the middle of it. Returns whether it was.
bool save_killed(
    const TempDir& dir,
    bool shared,
    const std::function<void()>& prepare) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    try { // what is thrown must not unwind into the parent's test
      prepare();
      save_new_state(dir, shared);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "in the process to be killed: %s\n", e.what());
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  const bool killed = WIFSIGNALED(status) &&
      (WTERMSIG(status) == SIGXFSZ || WTERMSIG(status) == SIGSYS);
  CHECK(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
  return killed;
}

void check_no_leftovers(const TempDir& dir) {
  for (const auto& file : fs::recursive_directory_iterator(folder(dir))) {
    CHECK(file.path().extension() != ".tmp");
    CHECK(file.path().extension() != ".corrupt");
  }
}

/// The old state or the new one, all of it. Returns whether it is the new.
bool check_state(const TempDir& dir) {
  Bench b(128, in(dir));
  check_no_leftovers(dir);
  const AgentFileReader file(
      folder(dir) + "/b.safetensors", folder(dir) + "/shared");
  CHECK(!file.lack());
  const auto tokens = file.header().tokens;
  const bool is_new = tokens == joined(new_prompt(), answer(new_prompt(), 3));
  CHECK(is_new || tokens == old_tokens());
  const auto next = joined(tokens, words(3, 9));
  const int id = b.submit("b", next, 3);
  CHECK_EQUAL(
      b.finish(id).usage.restored_tokens, static_cast<int>(tokens.size()));
  CHECK(b.tokens[id] == answer(next, 3));
  return is_new;
}

} // namespace

TEST("killed at any byte of a write, the disk has the old state or the new") {
  const TempDir dir;
  save_old_state(dir);
  int kills = 0;
  int bytes_left = 0; // kills that left a part of a file
  // From past the lock file's few bytes on.
  for (rlim_t at = 64;; at += 83) {
    const bool killed = save_killed(dir, true, [at] { end_past(at); });
    kills += killed;
    for (const auto& file : fs::recursive_directory_iterator(folder(dir))) {
      bytes_left += file.path().extension() == ".tmp" && file.file_size() == at;
    }
    check_state(dir);
    if (!killed) {
      break;
    }
  }
  CHECK(kills > 20);
  CHECK_EQUAL(bytes_left, kills); // each was in the middle of one
}

TEST("killed when a file is to be flushed or renamed, the old state is there") {
  for (const bool shared : {false, true}) {
    for (const uint32_t call : {uint32_t{__NR_fsync}, kRename}) {
      const TempDir dir;
      save_old_state(dir);
      CHECK(save_killed(dir, shared, [call] {
        answer_call(call, SECCOMP_RET_KILL_PROCESS);
      }));
      CHECK(!check_state(dir));
      CHECK(!save_killed(dir, shared, [] {}));
      CHECK(check_state(dir));
    }
  }
}
#endif
