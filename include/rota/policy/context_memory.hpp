#pragma once

#include <rota/policy/context.hpp>

// Where a context lies in memory, so that operators can refuse to write into what they read.

namespace rota {

// Calls f(byte_range) for the memory of a part. A part of your own that has views needs its own
// overload beside it.

template <class Part, class F>
void for_each_range(const Part&, F&&) {}

template <element Q, class F>
void for_each_range(const window_queries_of<Q>& part, F&& f) {
  f(range_of(part.queries));
  f(range_of(part.query_positions));
}
template <class F>
void for_each_range(const query_moments& part, F&& f) {
  f(range_of(part.mean));
  f(range_of(part.covariance));
}
template <class F>
void for_each_range(const rope_frequencies& part, F&& f) {
  f(range_of(part.inverse_frequencies));
}

/// Whether a view of the context's extra parts touches the range. Views with holes count as whole.
template <element E, class... Parts>
bool parts_touch([[maybe_unused]] const context<E, Parts...>& c, const byte_range& range) {
  bool met = false;
  [[maybe_unused]] const auto look = [&](const byte_range& r) { met = met || overlaps(r, range); };
  (for_each_range(static_cast<const Parts&>(c), look), ...);
  return met;
}

/// The same for all views of a context.
template <element E, class... Parts>
bool touches(const context<E, Parts...>& c, const byte_range& range) {
  return overlaps(range_of(c.keys), range) || overlaps(range_of(c.values), range) ||
         overlaps(range_of(c.positions), range) || overlaps(range_of(c.available), range) ||
         parts_touch(c, range);
}

}  // namespace rota
