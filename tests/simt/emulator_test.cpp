#include "simt/emulator.hpp"

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cuda/launch.cuh>
#include <rota/cuda/ptx/async_copy.cuh>
#include <rota/cuda/ptx/math.cuh>
#include <rota/cuda/ptx/matrix.cuh>

namespace {

namespace ptx = rota::cuda::ptx;

/// Memory of the emulated GPU.
template <class T>
struct array {
  T* data;
  std::size_t size;
  explicit array(std::size_t n)
      : data(static_cast<T*>(simt::global_memory::instance().allocate(n * sizeof(T)))), size(n) {}
  ~array() { simt::global_memory::instance().free(data); }
  array(const array&) = delete;
  array& operator=(const array&) = delete;
};

/// Reverses 256 numbers through shared memory.
struct reverse_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 1;
  struct arguments {
    const std::uint32_t* from;
    std::uint32_t* to;
    bool syncs;
    int beyond;  ///< added to where the last thread writes
  };
  ROTA_DEVICE static void run(const arguments& a) {
    const ptx::shared_array<std::uint32_t> buffer{ptx::shared_base()};
    const int i = static_cast<int>(ptx::thread_index());
    buffer.set(i, ptx::load(a.from + i));
    if (a.syncs) ptx::sync_block();
    ptx::store(a.to + i + (i == 255 ? a.beyond : 0), buffer[255 - i]);
  }
};

struct reverse_case {
  array<std::uint32_t> from{256}, to{256};
  std::string fault;
  bool right = true;

  reverse_case(std::uint64_t seed, bool syncs, int beyond, std::size_t shared_bytes = 1024) {
    simt::emulator gpu(seed);
    for (std::uint32_t i = 0; i < 256; ++i) from.data[i] = i;
    const rota::cuda::backend b = rota::cuda::make_backend(nullptr, nullptr);
    REQUIRE(rota::cuda::launch<reverse_kernel>(b, {1}, {from.data, to.data, syncs, beyond},
                                               shared_bytes)
                .ok());
    fault = gpu.fault();
    for (std::uint32_t i = 0; i < 256; ++i) right = right && to.data[i] == 255 - i;
  }
};

TEST_CASE("threads of a block meet at a barrier, under every schedule") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const reverse_case c(seed, true, 0);
    CHECK(c.fault == "");
    CHECK(c.right);
  }
}

TEST_CASE("a missing barrier is caught by every schedule") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) CHECK(!reverse_case(seed, false, 0).right);
}

TEST_CASE("accesses outside of memory end the kernel") {
  CHECK(reverse_case(0, true, 1).fault.find("write outside of global memory") == 0);
  CHECK(reverse_case(0, true, 0, 1020).fault.find("access outside of shared memory") == 0);
}

/// Lane l's sums with its neighbours, a ballot, a scan.
struct warp_kernel {
  static constexpr int threads = 64;
  static constexpr int least_blocks = 1;
  struct arguments {
    unsigned* out;  ///< [threads][4]
  };
  ROTA_DEVICE static void run(const arguments& a) {
    const unsigned t = ptx::thread_index();
    const unsigned results[4] = {ptx::warp_sum(t), ptx::ballot(t % 3 == 0),
                                 ptx::warp_exclusive_sum(t), ptx::shuffle(t, 5)};
    for (unsigned i = 0; i < 4; ++i) ptx::store(a.out + 4 * t + i, results[i]);
  }
};

TEST_CASE("lanes of a warp exchange values") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    simt::emulator gpu(seed);
    const array<unsigned> out(256);
    const rota::cuda::backend b = rota::cuda::make_backend(nullptr, nullptr);
    REQUIRE(rota::cuda::launch<warp_kernel>(b, {1}, {out.data}).ok());
    REQUIRE(gpu.fault() == "");
    for (unsigned t = 0; t < 64; ++t) {
      const unsigned base = t / 32 * 32;
      unsigned sum = 0, votes = 0, before = 0;
      for (unsigned l = 0; l < 32; ++l) {
        sum += base + l;
        votes |= (base + l) % 3 == 0 ? 1u << l : 0u;
        before += base + l < t ? base + l : 0;
      }
      CHECK(out.data[4 * t] == sum);
      CHECK(out.data[4 * t + 1] == votes);
      CHECK(out.data[4 * t + 2] == before);
      CHECK(out.data[4 * t + 3] == base + 5);
    }
  }
}

/// c = a b' for a [16, 16] and b [8, 16] rows, both through shared memory; with rows `stride` bytes
/// apart.
struct product_kernel {
  static constexpr int threads = 32;
  static constexpr int least_blocks = 1;
  struct arguments {
    const rota::bf16* a;
    const rota::bf16* b;
    float* c;
    std::uint32_t stride;
  };
  ROTA_DEVICE static void run(const arguments& k) {
    const ptx::shared_address base = ptx::shared_base();
    const unsigned lane = ptx::lane_index();
    for (unsigned i = lane; i < 48; i += 32)  // 24 rows of two chunks: a, then b
      ptx::copy16_async(base + i / 2 * k.stride + i % 2 * 16,
                        i < 32 ? k.a + i * 8 : k.b + (i - 32) * 8);
    ptx::commit_copies();
    ptx::wait_copies<0>();
    ptx::sync_warp();
    std::uint32_t a[4], b[4];
    ptx::ldmatrix(a, base + lane % 16 * k.stride + lane / 16 * 16);
    ptx::ldmatrix(b, base + (16 + lane % 8) * k.stride + lane / 8 % 2 * 16);
    float c[4] = {};
    ptx::mma<rota::bf16>(c, a, b[0], b[1]);
    for (unsigned i = 0; i < 4; ++i)
      ptx::store(k.c + (lane / 4 + i / 2 * 8) * 8 + 2 * (lane % 4) + i % 2, c[i]);
  }
};

TEST_CASE("the matrix unit multiplies, and conflicts of banks are counted") {
  for (const std::uint32_t stride : {32u, 48u, 128u}) {
    simt::emulator gpu(stride);
    const array<rota::bf16> a(256), b(128);
    const array<float> c(128);
    for (int i = 0; i < 256; ++i) a.data[i] = rota::bf16(static_cast<float>(i % 7 - 3));
    for (int i = 0; i < 128; ++i) b.data[i] = rota::bf16(static_cast<float>(i % 5 - 2));
    const rota::cuda::backend dev = rota::cuda::make_backend(nullptr, nullptr);
    REQUIRE(
        rota::cuda::launch<product_kernel>(dev, {1}, {a.data, b.data, c.data, stride}, 24 * stride)
            .ok());
    REQUIRE(gpu.fault() == "");
    for (int r = 0; r < 16; ++r)
      for (int col = 0; col < 8; ++col) {
        float want = 0;
        for (int k = 0; k < 16; ++k)
          want += static_cast<float>(a.data[r * 16 + k]) * static_cast<float>(b.data[col * 16 + k]);
        CHECK(c.data[r * 8 + col] == want);
      }
    // Rows 48 bytes apart lie in different banks; 128 apart all in the same.
    CHECK(gpu.banks().phases == 8);
    if (stride == 48) CHECK(gpu.banks().wavefronts == 8);
    if (stride == 128) CHECK(gpu.banks().wavefronts == 64);
  }
}

/// Copies 64 bytes through a barrier of the copy engine, `rounds` times into the same place.
struct bulk_kernel {
  static constexpr int threads = 32;
  static constexpr int least_blocks = 1;
  enum class flaw { none, no_wait, wrong_phase, too_few_bytes, no_init };
  struct arguments {
    const std::uint32_t* from;
    std::uint32_t* to;
    flaw bug;
  };
  ROTA_DEVICE static void run(const arguments& a) {
    const ptx::shared_address base = ptx::shared_base(), barrier = base + 64;
    const unsigned lane = ptx::lane_index();
    if (lane == 0 && a.bug != flaw::no_init) ptx::barrier_init(barrier, 1);
    ptx::barrier_fence();
    ptx::sync_warp();
    for (unsigned round = 0; round < 3; ++round) {
      if (lane == 0) {
        ptx::barrier_expect(barrier, a.bug == flaw::too_few_bytes ? 48 : 64);
        ptx::copy_bulk(base, a.from + 16 * round, 64, barrier);
      }
      if (a.bug != flaw::no_wait)
        ptx::barrier_wait(barrier, (round + (a.bug == flaw::wrong_phase)) % 2);
      if (lane < 16)
        ptx::store(a.to + 16 * round + lane, ptx::shared_load<std::uint32_t>(base + 4 * lane));
      ptx::sync_warp();
    }
  }
};

/// Whether a bulk_kernel gave wrong numbers or faulted.
bool bulk_fails(std::uint64_t seed, bulk_kernel::flaw bug) {
  simt::emulator gpu(seed);
  const array<std::uint32_t> from(48), to(48);
  for (std::uint32_t i = 0; i < 48; ++i) from.data[i] = i * i;
  const rota::cuda::backend b = rota::cuda::make_backend(nullptr, nullptr);
  REQUIRE(rota::cuda::launch<bulk_kernel>(b, {1}, {from.data, to.data, bug}, 72).ok());
  if (!gpu.fault().empty()) return true;
  for (std::uint32_t i = 0; i < 48; ++i)
    if (to.data[i] != i * i) return true;
  return false;
}

TEST_CASE("bulk copies complete on their barrier") {
  using flaw = bulk_kernel::flaw;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    CHECK(!bulk_fails(seed, flaw::none));
    CHECK(bulk_fails(seed, flaw::too_few_bytes));
    CHECK(bulk_fails(seed, flaw::no_init));
  }
  CHECK(bulk_fails(0, flaw::no_wait));
  CHECK(bulk_fails(0, flaw::wrong_phase));
}

/// Half of the block waits for a barrier that the other half never reaches.
struct hanging_kernel {
  static constexpr int threads = 64;
  static constexpr int least_blocks = 1;
  struct arguments {};
  ROTA_DEVICE static void run(const arguments&) {
    if (ptx::warp_index() == 0) ptx::sync_block();
  }
};

TEST_CASE("a deadlock is a fault, and nothing runs after a fault") {
  simt::emulator gpu;
  const rota::cuda::backend b = rota::cuda::make_backend(nullptr, nullptr);
  REQUIRE(rota::cuda::launch<hanging_kernel>(b, {1}, {}).ok());
  CHECK(gpu.fault() == "deadlock: every thread waits");
  const array<unsigned> out(256);
  out.data[0] = 77;
  REQUIRE(rota::cuda::launch<warp_kernel>(b, {1}, {out.data}).ok());
  CHECK(out.data[0] == 77);
}

TEST_CASE("launches that a GPU would refuse are refused") {
  simt::emulator gpu;
  const rota::cuda::backend b = rota::cuda::make_backend(nullptr, nullptr);
  CHECK(rota::cuda::launch<hanging_kernel>(b, {1}, {}, 300 * 1024) == rota::errc::device_failure);
  CHECK(rota::cuda::launch<hanging_kernel>(b, {1, 70000}, {}) == rota::errc::bad_count);
}

}  // namespace
