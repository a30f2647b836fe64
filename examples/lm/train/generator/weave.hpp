// How items and filler become one text.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "generator.hpp"

namespace rota_lm::synth {

struct woven {
  std::string text;
  double depth = 0;
};

// Statements of one item keep their order; each takes a uniform place among the filler sentences.
// `asked` is the item whose first statement (the value itself) gives the depth.
woven weave(prng& random, const request& r, const std::vector<item>& items, std::size_t asked);

// Sentences of a story or a market up to `limit` units.
template <class Tale>
std::string sentences(const request& r, std::size_t limit, Tale& tale) {
  std::string out;
  for (std::size_t used = 0;;) {
    const std::string next = tale.sentence();
    used += r.count(next);
    if (used > limit) return out;
    out += next;
  }
}

}  // namespace rota_lm::synth
