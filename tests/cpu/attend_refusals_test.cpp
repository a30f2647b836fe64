#include <functional>

#include <doctest/doctest.h>

#include <rota/store/any_store.hpp>

#include "support/attend_case.hpp"
#include "support/fake_store.hpp"
#include "support/plain_stores.hpp"

// Every check of attend(): what is refused, under which name, and that nothing is written then.

namespace {

using namespace rota;
using namespace rota_test;

using store = dense_store<f32>;
using item_type = attend_item<store>;

/// Two good items in one buffer of outputs; each test spoils something.
struct setup {
  random_source rng{1};
  plain_shape shape{2, 16, 32, 40, 0, false, 16};
  random_dense<f32> first{rng, shape}, second{rng, shape};
  attend_case<store> a{rng, first.store, 2, 4}, b{rng, second.store, 1, 4};
  std::vector<item_type> items{a.item, b.item};
  attend_params params;
  /// Room behind the workspace: what is laid over it meets nothing else.
  static constexpr std::size_t room = 1 << 14;
  aligned_memory memory{cpu::attend_workspace_bytes<store>(cpu::backend{}, items, {}) + room};
  workspace ws{memory.data(), memory.size() - room};
};

void refused(errc code, const char* argument, const std::function<void(setup&)>& spoil) {
  setup s;
  spoil(s);
  const std::vector<float> keys = s.first.keys, q = s.a.q;
  const status got = cpu::attend<store>(cpu::backend{}, s.items, s.params, s.ws);
  CAPTURE(argument);
  CHECK_MESSAGE(got.code == code, got.what());
  CHECK(std::string(got.argument) == argument);
  CHECK(s.a.is_untouched());
  CHECK(s.b.is_untouched());
  CHECK(std::memcmp(keys.data(), s.first.keys.data(), keys.size() * sizeof(float)) == 0);
  CHECK(s.a.q == q);
}

}  // namespace

TEST_CASE("the setup itself is accepted") {
  setup s;
  CHECK(cpu::attend<store>(cpu::backend{}, s.items, s.params, s.ws).ok());
  CHECK(error_against_reference(s.items[0], s.params) <= 1e-5);
}

TEST_CASE("parameters out of range") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused(errc::bad_parameter, "scale", [](setup& s) { s.params.scale = -1; });
  refused(errc::bad_parameter, "scale", [&](setup& s) { s.params.scale = nan; });
  refused(errc::bad_parameter, "scale", [](setup& s) { s.params.scale = INFINITY; });
  refused(errc::bad_parameter, "sliding_window", [](setup& s) { s.params.sliding_window = -1; });
}

TEST_CASE("null pointers") {
  refused(errc::null_view, "store", [](setup& s) { s.items[1].store = nullptr; });
  refused(errc::null_view, "q", [](setup& s) { s.items[1].q.data = nullptr; });
  refused(errc::null_view, "out", [](setup& s) { s.items[1].out.data = nullptr; });
}

TEST_CASE("shapes that disagree") {
  refused(errc::bad_shape, "q", [](setup& s) { s.items[1].q.extent[2] = 15; });
  refused(errc::bad_shape, "q", [](setup& s) { s.items[1].q.extent[0] = -1; });
  refused(errc::heads_not_divisible, "q", [](setup& s) { s.items[1].q.extent[1] = 7; });
  refused(errc::bad_shape, "out", [](setup& s) { s.items[0].out.extent[0] = 1; });
  refused(errc::bad_shape, "out", [](setup& s) { s.items[1].out.extent[1] = 4; });
  refused(errc::bad_shape, "out", [](setup& s) { s.items[1].out.extent[2] = 16; });
  refused(errc::bad_shape, "lse", [](setup& s) { s.items[0].lse.extent[0] = 1; });
  refused(errc::bad_shape, "lse", [](setup& s) { s.items[1].lse.extent[1] = 4; });
}

TEST_CASE("strides that cannot be") {
  refused(errc::bad_stride, "q", [](setup& s) { s.items[0].q.stride[2] = 2; });
  refused(errc::bad_stride, "q", [](setup& s) { s.items[0].q.stride[0] = -1; });
  refused(errc::bad_stride, "out", [](setup& s) { s.items[0].out.stride[2] = 2; });
  refused(errc::bad_stride, "out", [](setup& s) { s.items[0].out.stride[1] = 31; });
  refused(errc::bad_stride, "lse", [](setup& s) { s.items[0].lse.stride[0] = 1; });
}

TEST_CASE("a store that is not well") {
  refused(errc::bad_count, "store.length", [](setup& s) { s.first.store.length = 41; });
  refused(errc::bad_position, "store.first_position",
          [](setup& s) { s.second.store.first_position = -1; });
  refused(errc::bad_shape, "store.values", [](setup& s) { s.second.store.values.extent[1] = 39; });
  random_source rng(2);
  fake_store<f32> fake(rng, {1, 8, 40, 2, false, false});  // 20 groups
  attend_case<fake_store<f32>> c(rng, fake, 1, 1);
  CHECK(run_attend(cpu::backend{}, std::vector{c.item}, {}) == errc::bad_group_width);
  CHECK(c.is_untouched());
  fake.set_status({errc::bad_store, "store"});
  CHECK(run_attend(cpu::backend{}, std::vector{c.item}, {}) == errc::bad_store);
}

TEST_CASE("outputs that lie on something else") {
  refused(errc::overlapping_memory, "out", [](setup& s) { s.items[0].out.data = s.a.q.data(); });
  refused(errc::overlapping_memory, "lse",
          [](setup& s) { s.items[0].lse.data = s.a.out.data() + 3; });
  refused(errc::overlapping_memory, "lse", [](setup& s) { s.items[0].lse.data = s.a.q.data(); });
  // the store of the same item
  refused(errc::overlapping_memory, "out",
          [](setup& s) { s.items[0].out.data = s.first.keys.data() + 8; });
  refused(errc::overlapping_memory, "lse",
          [](setup& s) { s.items[1].lse.data = s.second.values.data() + 50; });
  // views with holes
  refused(errc::overlapping_memory, "out", [](setup& s) {
    s.items[0].out = view<float, 3>(s.first.keys.data(), {2, 8, 32}, {8 * 40, 40, 1});
  });
  // another item's output, queries and store
  refused(errc::overlapping_memory, "out",
          [](setup& s) { s.items[1].out.data = s.a.out.data() + 300; });
  refused(errc::overlapping_memory, "out", [](setup& s) { s.items[1].out.data = s.a.q.data(); });
  refused(errc::overlapping_memory, "lse",
          [](setup& s) { s.items[1].lse.data = s.first.values.data() + 2559; });
  refused(errc::overlapping_memory, "lse", [](setup& s) { s.items[1].lse.data = s.a.lse.data(); });
}

TEST_CASE("interleaved outputs of two sequences are not an overlap") {
  setup s;
  std::vector<float> both(2 * 2 * 8 * 32);
  attend_case<store> c(s.rng, s.second.store, 2, 4);
  const std::array<index_t, 3> extent{2, 8, 32}, stride{2 * 8 * 32, 32, 1};
  s.items[0].out = view<float, 3>(both.data(), extent, stride);
  s.items[1] = c.item;
  s.items[1].out = view<float, 3>(both.data() + 8 * 32, extent, stride);
  REQUIRE(run_attend(cpu::backend{}, s.items, {}).ok());
  CHECK(error_against_reference(s.items[0], {}) <= 1e-5);
  CHECK(error_against_reference(s.items[1], {}) <= 1e-5);
}

TEST_CASE("a workspace in the holes of an output is an overlap") {
  setup s;
  const std::size_t bytes = s.ws.bytes;
  aligned_memory wide(2 * bytes + (1 << 16));
  s.items[0].out = view<float, 3>(reinterpret_cast<float*>(wide.data()), {2, 8, 32},
                                  {static_cast<index_t>(bytes / 4 + 4096), 32, 1});
  s.ws = {wide.data() + 4096, bytes};
  CHECK(cpu::attend<store>(cpu::backend{}, s.items, s.params, s.ws) == errc::overlapping_memory);
}

TEST_CASE("the workspace query of a bad batch is 0, a bad backend is refused") {
  setup s;
  s.items[1].store = nullptr;
  CHECK(cpu::attend_workspace_bytes<store>(cpu::backend{}, s.items, {}) == 0);
  setup t;
  cpu::backend nobody;
  nobody.exec.threads = 0;
  CHECK(cpu::attend<store>(nobody, t.items, t.params, t.ws) == errc::bad_count);
  nobody = {};
  nobody.exec.run = nullptr;
  CHECK(cpu::attend<store>(nobody, t.items, t.params, t.ws) == errc::null_view);
  CHECK(any_store<packed_store<bf16, 16>>{}.bytes() == 0);
}

TEST_CASE("items may share a store") {
  setup s;
  s.items[1].store = &s.first.store;
  CHECK(cpu::attend<store>(cpu::backend{}, s.items, s.params, s.ws).ok());
}

TEST_CASE("a workspace too small, misaligned, missing, or on top of something") {
  refused(errc::workspace_too_small, "ws", [](setup& s) { --s.ws.bytes; });
  refused(errc::workspace_too_small, "ws", [](setup& s) { s.ws.data = nullptr; });
  refused(errc::workspace_too_small, "ws", [](setup& s) {
    s.ws = {static_cast<std::byte*>(s.ws.data) + 16, s.ws.bytes + 16};
  });
  refused(errc::overlapping_memory, "ws", [](setup& s) {
    s.items[1].q.data = reinterpret_cast<const float*>(s.memory.data() + 64);
  });
  refused(errc::overlapping_memory, "ws",
          [](setup& s) { s.first.store.values.data = reinterpret_cast<float*>(s.memory.data()); });
}
