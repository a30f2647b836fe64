#pragma once

#include <cstddef>
#include <cstdint>

// What the host bodies of the instructions run on. Nothing here exists on a GPU; a library user
// never needs it. The emulator in tests/simt implements it.

namespace rota::cuda::ptx {

struct extent3 {
  unsigned x = 1, y = 1, z = 1;
};

/// Where the running thread stands.
struct thread_place {
  unsigned thread = 0;   ///< in its block; blocks are one-dimensional
  unsigned threads = 0;  ///< of a block
  extent3 block, grid;
};

enum class access { read, write };

/// One thread's view of an emulated GPU. Shared memory is addressed from 0.
class machine {
 public:
  virtual ~machine() = default;

  virtual const thread_place& place() const = 0;

  /// Waits for all threads of the block, or for all lanes of the warp.
  virtual void block_barrier() = 0;
  virtual bool block_barrier_or(bool predicate) = 0;
  virtual void warp_barrier() = 0;
  /// 64 bytes of each lane, through which a warp exchanges values between two warp_barrier()s.
  virtual std::byte* slot(unsigned lane) = 0;

  /// The memory behind `bytes` bytes at a shared address, or at a pointer. Out of bounds or
  /// misaligned: the kernel ends with a fault.
  virtual std::byte* shared(std::uint32_t at, std::size_t bytes, std::size_t alignment) = 0;
  virtual void global(const void* p, std::size_t bytes, std::size_t alignment, access a) = 0;

  /// The 8 rows of 16 bytes that one phase of ldmatrix reads: conflicts are counted.
  virtual void count_phase(const std::uint32_t* rows) = 0;

  /// Copies that arrive later, at a moment of the machine's choice. `bytes` of the source, then
  /// zeros up to `size`. They complete on a barrier, or with the thread's open group.
  virtual void copy_to_group(std::uint32_t to, const void* from, std::size_t bytes,
                             std::size_t size) = 0;
  virtual void commit_group() = 0;
  virtual void wait_groups(int open) = 0;
  virtual void copy_to_barrier(std::uint32_t to, const void* from, std::size_t bytes,
                               std::uint32_t barrier) = 0;

  virtual void barrier_init(std::uint32_t at, unsigned arrivals) = 0;
  virtual void barrier_arrive(std::uint32_t at, unsigned expected_bytes) = 0;
  virtual void barrier_wait(std::uint32_t at, unsigned parity) = 0;

  /// Another thread may run between two steps of this one.
  virtual void step() = 0;
};

/// The machine of the running thread; null outside kernels.
inline thread_local machine* running = nullptr;

/// Shared memory that an emulated block takes besides what it asks for, as on a GPU.
inline constexpr int reserved_shared_bytes = 1024;

/// What launches go to where there is no GPU.
class device {
 public:
  virtual ~device() = default;
  virtual int multiprocessors() const = 0;
  virtual int architecture() const = 0;  ///< 80, 90, ...
  /// That a block may have; a multiprocessor has what one such block takes.
  virtual int shared_bytes() const = 0;
  virtual bool owns(const void* p) const = 0;  ///< whether this is its memory
  /// Runs body(args) for each thread. False: refused (more shared memory than there is, say).
  virtual bool launch(extent3 grid, unsigned threads, std::size_t shared_bytes,
                      void (*body)(const void* args), const void* args) = 0;
};

/// The emulated GPU, where one is attached.
inline device* attached = nullptr;

}  // namespace rota::cuda::ptx
