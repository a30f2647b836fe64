// Decoding for a long time under a cap: a token is appended and attended over in each step, and the
// store is re-routed whenever its tail is full. Memory stays what it was at the start, nothing is
// allocated, and what the store holds does not drift from what was put in. ROTA_LONG_TESTS=N: N
// times ten thousand steps.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>
#include <malloc.h>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/counted_new.hpp"
#include "support/memory.hpp"
#include "support/plain_cache.hpp"

namespace {

using namespace rota;
using namespace rota_test;

const cpu::backend one;

/// Bytes that malloc has given out; 0 where a sanitizer stands in for it.
std::size_t heap_bytes() {
  return ::mallinfo2().uordblks;
}

template <class Layout>
class soak {
  using op =
      attention<tokens<first_of_key, fixed_k>, groups<first_of_slice, fixed_k>, Layout, mean_fill>;
  using store_type = typename op::store_type;
  using plain = plain_type_of<typename op::element_type>;
  static constexpr index_t heads = 2, q_heads = 4, d_k = 16, groups_of_value = 4;
  static constexpr index_t d_v = groups_of_value * Layout::width;

 public:
  explicit soak(std::uint64_t seed)
      : rng_(seed),
        cache_({heads, d_k, groups_of_value, Layout::width, std::is_same_v<plain, bf16> ? 8 : 24}) {
    params_.protect = {4, 16};
    params_.tokens.budget.k = 160;
    params_.groups.budget.k = 2;
    params_.store.tail_capacity = 48;
    const packed_shape shape = op::shape_of(heads, d_k, d_v, params_);
    // Less than the token budget would fill, so that the cap decides.
    cap_ = static_cast<index_t>(0.8 * static_cast<double>(packed_bytes_bound(shape, 120)));
    for (aligned_memory& m : memory_) m = aligned_memory(static_cast<std::size_t>(cap_));
    current_ = {memory_[0].data(), cap_};
    compress_nothing();
    scratch_ =
        aligned_memory(op::reroute_within_workspace_bytes(one, current_, no_parts_, params_, cap_));
    attend_scratch_ = aligned_memory(std::size_t{1} << 16);
  }

  void run(std::int64_t steps) {
    step();  // what is made once is made
    std::size_t heap = 0;
    for (std::int64_t i = 0; i < steps; ++i) {
      step();
      if (i == steps / 10) heap = heap_bytes();
    }
    CHECK(allocated_ == 0);
    CHECK(cache_.next() == steps + 1);
    CHECK(reroutes_ > steps / 60);
    // The vectors of the oracle breathe, by less than this.
    CHECK(heap_bytes() < heap + 100000);
    MESSAGE(steps, " steps, ", reroutes_, " re-routings, worst error ", worst_);
  }

 private:
  /// Runs an operator, which must not allocate.
  template <class F>
  void call(F&& f) {
    const std::int64_t before = allocations;
    const status s = f();
    allocated_ += allocations - before;
    if (!s) FAIL(s.what(), " ", s.argument);
  }

  void compress_nothing() {
    context<plain> ctx;
    static constexpr plain row{};
    ctx.keys = view<const plain, 3>(&row, 0, heads, d_k);
    ctx.values = view<const plain, 3>(&row, 0, heads, d_v);
    const aligned_memory ws(op::compress_workspace_bytes(one, ctx, params_));
    call([&] { return op::compress(one, ctx, params_, current_, ws.workspace()); });
  }

  void step() {
    if (current_.tail_count() == current_.tail_capacity()) reroute();
    for (index_t h = 0; h < heads; ++h) exact_row(rng_, &keys_[h * d_k], d_k);
    for (index_t g = 0; g < heads * groups_of_value; ++g)
      exact_row(rng_, &values_[g * Layout::width], Layout::width);
    call([&] {
      return op::append(one, current_, view<const float, 3>(keys_, 1, heads, d_k),
                        view<const float, 3>(values_, 1, heads, d_v));
    });
    cache_.append(keys_, values_);
    attend();
  }

  void reroute() {
    store_type next{memory_[++reroutes_ % 2].data(), cap_};
    call([&] {
      return op::reroute_within(one, current_, no_parts_, params_, cap_, next,
                                scratch_.workspace());
    });
    REQUIRE(next.bytes() <= cap_);
    cache_.select_again(next, {params_.protect.sinks, params_.protect.window, -1, 2});
    cache_.check(next);
    current_ = next;
  }

  void attend() {
    for (float& x : q_) x = 0.1f * rng_.normal();
    const attend_item<store_type> item{view<const float, 3>(q_, 1, q_heads, d_k),
                                       &current_,
                                       view<float, 3>(out_, 1, q_heads, d_v),
                                       {}};
    const std::span<const attend_item<store_type>> batch(&item, 1);
    call([&] { return op::attend(one, batch, {}, attend_scratch_.workspace()); });
    if (cache_.next() % 101 == 0) compare();
  }

  /// With attention over the plain vectors.
  void compare() {
    for (index_t h = 0; h < q_heads; ++h) {
      const auto head = static_cast<std::size_t>(h / (q_heads / heads));
      const std::vector<double> want = cache_.attend(head, q_ + h * d_k);
      for (std::size_t c = 0; c < want.size(); ++c) {
        const double got = static_cast<double>(out_[h * d_v + static_cast<index_t>(c)]);
        worst_ = std::max(worst_, std::fabs(got - want[c]));
      }
    }
    REQUIRE(worst_ < (std::is_same_v<plain, bf16> ? 1e-2 : 1e-4));
  }

  random_source rng_;
  plain_cache cache_;
  typename op::params params_;
  const context<plain> no_parts_;
  index_t cap_ = 0;
  aligned_memory memory_[2] = {aligned_memory(0), aligned_memory(0)};
  aligned_memory scratch_{0}, attend_scratch_{0};
  store_type current_;
  float keys_[heads * d_k], values_[heads * d_v], q_[q_heads * d_k], out_[q_heads * d_v];
  std::int64_t reroutes_ = 0, allocated_ = 0;
  double worst_ = 0;
};

std::int64_t steps() {
  const char* const longer = std::getenv("ROTA_LONG_TESTS");
  return 10000 * (longer != nullptr ? std::atoi(longer) : 1);
}

}  // namespace

TEST_CASE("decoding under a cap needs no more memory and does not drift, bf16") {
  soak<packed<bf16, 8>>(1).run(steps());
}

TEST_CASE("decoding under a cap needs no more memory and does not drift, int8") {
  soak<packed<int8, 16, value_order::token_major, 64>>(2).run(steps());
}
