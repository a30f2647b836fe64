#include <doctest/doctest.h>

#include <rota/core/fingerprint.hpp>

using rota::fingerprint;

namespace {

/// FNV-1a of bytes, as published.
constexpr std::uint64_t fnv(std::initializer_list<int> bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const int b : bytes) hash = (hash ^ static_cast<std::uint64_t>(b)) * 1099511628211u;
  return hash;
}
static_assert(fnv({}) == 0xcbf29ce484222325u);
static_assert(fnv({'a'}) == 0xaf63dc4c8601ec8cu);
static_assert(fnv({'f', 'o', 'o', 'b', 'a', 'r'}) == 0x85944171f73967e8u);

}  // namespace

TEST_CASE("a fingerprint is FNV-1a over kinds, lengths and contents") {
  CHECK(fingerprint().value() == fnv({}));
  CHECK(fingerprint().add("ab").value() == fnv({'s', 2, 0, 0, 0, 0, 0, 0, 0, 'a', 'b'}));
  CHECK(fingerprint().add(258).value() == fnv({'i', 2, 1, 0, 0, 0, 0, 0, 0}));
  CHECK(fingerprint().add(0.5).value() == fnv({'f', 0, 0, 0, 0, 0, 0, 0xe0, 0x3f}));
}

TEST_CASE("what differs has another fingerprint, what is equal the same") {
  const auto of = [](auto... parts) {
    fingerprint f;
    (f.add(parts), ...);
    return f.value();
  };
  CHECK(of("a", "bc") != of("ab", "c"));
  CHECK(of(1, 2) != of(2, 1));
  CHECK(of(1) != of(1.0));
  CHECK(of("1") != of(1));
  CHECK(of(0.25f) == of(0.25));
  CHECK(of(-0.0) == of(0.0));
  CHECK(of(-1) == of(std::int64_t{-1}));
  CHECK(of(true) != of(false));
}
