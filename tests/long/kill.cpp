// Writers that are killed: whenever it happens, a file is the old one or the new one, whole. A
// child writes one version after the other; it is killed at random moments, and before and after
// each step by which a file gets its place. ROTA_LONG_TESTS=N: N times as many kills.
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rota/cpu/pack.hpp>
#include <rota/store/layouts.hpp>
#include <rota/store/save.hpp>

#include "engine/atomic_file.hpp"
#include "engine/mapped_file.hpp"
#include "lm/temp_folder.hpp"
#include "support/memory.hpp"
#include "support/random_layer.hpp"

namespace {

/// What child and parent share.
struct progress {
  std::atomic<std::uint64_t> begun{0};     ///< the version that is being written
  std::atomic<std::uint64_t> finished{0};  ///< the version whose commit() returned last
  std::atomic<int> moments{0};             ///< steps at which the child could be killed
};

// In the child: at which of its moments it dies; -1: at none.
progress* shared = nullptr;
int fatal_moment = -1;

void pass_moment() {
  if (shared != nullptr && shared->moments++ == fatal_moment) ::raise(SIGKILL);
}

}  // namespace

// The program's own definitions stand before the C library's, so the engine calls these.
extern "C" int rename(const char* from, const char* to) noexcept {
  pass_moment();
  const long result = ::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  pass_moment();
  return static_cast<int>(result);
}
extern "C" int fsync(int file) {
  pass_moment();
  return static_cast<int>(::syscall(SYS_fsync, file));
}

namespace {

using namespace rota;
using namespace rota_test;
using rota_lm::atomic_file;
using rota_lm_test::temp_folder;

using content = std::vector<std::byte>;

/// Version 0 to ...: its own length and bytes, the version in the first eight.
content plain_version(std::uint64_t version) {
  random_source rng(version);
  content out(8 + static_cast<std::size_t>(rng.below(300000)));
  for (std::size_t i = 8; i < out.size(); ++i) out[i] = static_cast<std::byte>(rng.bits());
  std::memcpy(out.data(), &version, 8);
  return out;
}

/// A store's saved form, whose model is the version.
content store_version(std::uint64_t version) {
  using layout = packed<bf16, 8>;
  random_source rng(version);
  const index_t n = rng.between(1, 500);
  const cpu::backend one;
  const packed_shape shape = layout::shape(2, 16, 32, {4}, 0, false);
  const random_layer<bf16> layer(rng, n, 2, 16, 32);
  const random_selection chosen(rng, n, 2, 4, 0.8, 0.5);
  const aligned_memory memory(static_cast<std::size_t>(packed_bytes(shape, chosen.kept)));
  packed_store<bf16, 8> store{memory.data(), static_cast<index_t>(memory.size())};
  const aligned_memory ws(cpu::pack_workspace_bytes(one, shape));
  if (!cpu::pack(one, shape, layer.context, chosen.kept, store, ws.workspace(), {})) std::abort();
  const aligned_memory saved(static_cast<std::size_t>(saved_bytes(store)));
  if (!save(store, {7, version}, {saved.data(), saved.size()})) std::abort();
  return {saved.data(), saved.data() + saved.size()};
}

std::uint64_t plain_version_of(const content& bytes) {
  std::uint64_t version = 0;
  REQUIRE(bytes.size() >= 8);
  std::memcpy(&version, bytes.data(), 8);
  return version;
}

/// Restores the store, as an engine would.
std::uint64_t store_version_of(const content& bytes) {
  const aligned_memory saved(bytes.size());
  std::memcpy(saved.data(), bytes.data(), bytes.size());
  const std::span<const std::byte> from(saved.data(), saved.size());
  saved_header header;
  REQUIRE(bytes.size() > sizeof header);
  std::memcpy(&header, bytes.data(), sizeof header);
  index_t needed = 0;
  REQUIRE(restored_bytes<packed_store<bf16, 8>>(from, -1, needed).ok());
  const aligned_memory memory(static_cast<std::size_t>(needed));
  packed_store<bf16, 8> store{memory.data(), needed};
  REQUIRE(restore(from, {7, header.model}, -1, store).ok());
  return header.model;
}

struct kind_of_file {
  content (*make)(std::uint64_t version);
  std::uint64_t (*version_of)(const content& bytes);
};
constexpr kind_of_file plain_file{plain_version, plain_version_of};
constexpr kind_of_file store_file{store_version, store_version_of};

void write_version(const std::string& path, const content& bytes) {
  atomic_file file(path);
  const std::span<const std::byte> all(bytes);
  file.write(all.first(all.size() / 2));  // so that a kill may fall between
  file.write(all.subspan(all.size() / 2));
  file.commit();
}

/// What the child does until it is killed.
[[noreturn]] void write_for_ever(const std::string& path, const kind_of_file& kind, int moment) {
  fatal_moment = moment;
  for (std::uint64_t version = shared->finished + 1;; ++version) {
    const content bytes = kind.make(version);
    shared->begun = version;
    write_version(path, bytes);
    shared->finished = version;
  }
}

class killed_writer {
 public:
  explicit killed_writer(const kind_of_file& kind)
      : kind_(kind),
        path_(folder_.path() + "/file"),
        progress_(new (::mmap(nullptr, sizeof(progress), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0)) progress) {
    write_version(path_, kind_.make(0));
  }
  killed_writer(const killed_writer&) = delete;
  killed_writer& operator=(const killed_writer&) = delete;
  ~killed_writer() { ::munmap(progress_, sizeof(progress)); }

  /// One life of the child: it dies at `moment` of its own, or after `microseconds`.
  void live(int moment, unsigned microseconds) {
    progress_->moments = 0;
    const ::pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      shared = progress_;
      write_for_ever(path_, kind_, moment);
    }
    if (moment < 0) {
      ::usleep(microseconds);
      ::kill(child, SIGKILL);
    }
    int end = 0;
    REQUIRE(::waitpid(child, &end, 0) == child);
    REQUIRE(WIFSIGNALED(end));
    REQUIRE(WTERMSIG(end) == SIGKILL);
    check();
  }

  std::uint64_t written() const { return progress_->finished; }

 private:
  /// The file is the last version that was committed, or the one that was being written.
  void check() {
    const rota_lm::mapped_file file(path_);
    const content bytes(file.bytes().begin(), file.bytes().end());
    const std::uint64_t version = kind_.version_of(bytes);
    REQUIRE(version >= progress_->finished);
    REQUIRE(version <= progress_->begun);
    REQUIRE(bytes == kind_.make(version));
    progress_->finished = version;  // where the next life goes on
  }

  temp_folder folder_;
  const kind_of_file& kind_;
  std::string path_;
  progress* progress_;
};

int times() {
  const char* const longer = std::getenv("ROTA_LONG_TESTS");
  return longer != nullptr ? std::atoi(longer) : 1;
}

/// Steps of one version: fsync of the file, before and after rename, fsync of the folder.
constexpr int moments_of_a_version = 4;

void kill_at_each_step(const kind_of_file& kind) {
  killed_writer writer(kind);
  for (int moment = 0; moment < 2 * moments_of_a_version * times(); ++moment) {
    CAPTURE(moment);
    writer.live(moment, 0);
  }
  CHECK(writer.written() > 4);
}

void kill_at_random(const kind_of_file& kind, std::uint64_t seed) {
  killed_writer writer(kind);
  random_source rng(seed);
  for (int kill = 0; kill < 20 * times(); ++kill) {
    CAPTURE(kill);
    writer.live(-1, static_cast<unsigned>(rng.below(8000)));
  }
}

}  // namespace

TEST_CASE("a file whose writer is killed at a step of putting it in place is old or new") {
  kill_at_each_step(plain_file);
  kill_at_each_step(store_file);
}

TEST_CASE("a file whose writer is killed at any moment is old or new") {
  kill_at_random(plain_file, 1);
  kill_at_random(store_file, 2);
}
