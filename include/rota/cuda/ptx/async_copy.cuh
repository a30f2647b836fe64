#pragma once

#include <rota/cuda/ptx/memory.cuh>

// Copies from global to shared memory that run beside the kernel.

namespace rota::cuda::ptx {

/// Copies the first `bytes` (0 .. 16) of 16 bytes and zeros the rest; both addresses are multiples
/// of 16. Part of the thread's open group. sm_80.
ROTA_DEVICE void copy16_async(shared_address to, const void* from, int bytes = 16) {
#if defined(__CUDACC__)
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
               : "memory");
#else
  running->copy_to_group(to, from, static_cast<std::size_t>(bytes), 16);
#endif
}

/// Closes the thread's open group of copies.
ROTA_DEVICE void commit_copies() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  running->commit_group();
#endif
}

/// Waits until at most Open of the thread's closed groups are still under way.
template <int Open>
ROTA_DEVICE void wait_copies() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(Open) : "memory");
#else
  running->wait_groups(Open);
#endif
}

/// A barrier in 8 bytes of shared memory that completes a phase when `arrivals` threads have
/// arrived and all bytes that they expect have been copied. sm_90 (below, the kernel traps).
ROTA_DEVICE void barrier_init(shared_address at, unsigned arrivals) {
#if defined(__CUDACC__)
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at), "r"(arrivals) : "memory");
#else
  __trap();
#endif
#else
  running->barrier_init(at, arrivals);
#endif
}

/// Makes initialised barriers known to the copy engine. Before the block's first sync.
ROTA_DEVICE void barrier_fence() {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

/// Arrives and announces bytes that copies will bring.
ROTA_DEVICE void barrier_expect(shared_address at, unsigned bytes) {
#if defined(__CUDACC__)
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes)
               : "memory");
#endif
#else
  running->barrier_arrive(at, bytes);
#endif
}

#if defined(ROTA_CUDA_TRAP_WAITS) && defined(__CUDACC__)
/// barrier_wait() of debug builds: a phase that is not complete after a second traps
/// instead of hanging the device.
ROTA_DEVICE void barrier_wait_or_trap(shared_address at, unsigned parity) {
#if __CUDA_ARCH__ >= 900
  constexpr std::uint64_t second = 1'000'000'000;
  std::uint64_t begin, now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(begin));
  for (unsigned done = 0;;) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
        "selp.u32 %0, 1, 0, done;\n"
        "}"
        : "=r"(done)
        : "r"(at), "r"(parity)
        : "memory");
    if (done != 0) return;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    if (now - begin > second) __trap();
  }
#endif
}
#endif

/// Waits until the phase of this parity (0 first, then 1, 0, ...) is complete.
ROTA_DEVICE void barrier_wait(shared_address at, unsigned parity) {
#if defined(ROTA_CUDA_TRAP_WAITS) && defined(__CUDACC__)
  barrier_wait_or_trap(at, parity);
#elif defined(__CUDACC__)
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(at),
      "r"(parity)
      : "memory");
#endif
#else
  running->barrier_wait(at, parity);
#endif
}

/// Copies `bytes`, a multiple of 16, between addresses that are; completes on the barrier. What is
/// read is not expected to be read again soon.
ROTA_DEVICE void copy_bulk(shared_address to, const void* from, unsigned bytes,
                           shared_address barrier) {
#if defined(__CUDACC__)
#if __CUDA_ARCH__ >= 900
  std::uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1], %2, [%3], %4;" ::"r"(to),
      "l"(from), "r"(bytes), "r"(barrier), "l"(policy)
      : "memory");
#endif
#else
  running->copy_to_barrier(to, from, bytes, barrier);
#endif
}

/// What the calling thread did to shared memory comes before what later bulk copies do to it.
/// Before the block's sync where many threads wrote, behind it where they only read.
ROTA_DEVICE void fence_before_bulk() {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

}  // namespace rota::cuda::ptx
